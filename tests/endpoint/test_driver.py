"""A frontend takes its turns in its clients' loop."""

import asyncio
import os
import time
from collections.abc import Callable

import pytest
import torch

from parity_exp.endpoint import driver
from parity_exp.endpoint.driver import driven
from parity_exp.endpoint.session import serve_live
from parity_exp.endpoint.settings import Settings
from parity_exp.policies import NoRedundancy
from parity_exp.serving.pool import Event
from tests.endpoint.live import SHAPE, Summed, summed
from tests.serving.direct_pool import DirectPool


class Breaks(DirectPool):
    broken = False

    def poll(self, timeout_s: float) -> list[Event]:
        if self.broken:
            raise ArithmeticError("a defect")
        return super().poll(timeout_s)


def test_a_defect_ends_the_endpoint_and_is_told() -> None:
    pool = Breaks(summed)

    def listening(_: object) -> None:
        pool.broken = True

    with pytest.raises(ArithmeticError, match="a defect"):
        serve_live(
            Summed(),
            torch.zeros(4, *SHAPE),
            policies=NoRedundancy,
            pool=pool,
            settings=Settings(port=0, grpc_port=0),
            listening=listening,
        )


class Turns:
    """A frontend that counts its turns; there is nothing to do before ``next_s``."""

    cpu_s = 0.0

    def __init__(self, next_s: float = float("inf")) -> None:
        self.next_s = next_s
        self.turns = 0
        self.began = self.ended = False
        self.busy: Callable[[], None] = lambda: None

    def begin(self) -> None:
        self.began = True

    def turn(self) -> float:
        self.turns += 1
        return self.next_s

    def end(self) -> None:
        self.ended = True


async def after_turns(frontend: Turns, more: int) -> None:
    """Wait until it has had so many more."""
    wanted = frontend.turns + more
    async with asyncio.timeout(60):
        while frontend.turns < wanted:
            await asyncio.sleep(0.001)


async def drive(frontend: Turns, bell: int | None, during: Callable[[], object]) -> None:
    with driven(frontend, bell, asyncio.get_running_loop(), lambda _: None):  # type: ignore[arg-type]
        await after_turns(frontend, 1)
        during()
        await after_turns(frontend, 1)
    assert frontend.began and frontend.ended
    turns = frontend.turns
    frontend.busy()
    await asyncio.sleep(0.01)
    assert frontend.turns == turns, "nobody drives it any more"


def test_it_has_turns_though_nothing_happens() -> None:
    asyncio.run(drive(Turns(), None, lambda: None))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns come for a reason, or not at all."""
    monkeypatch.setattr(driver, "LONGEST_S", 3600.0)


@pytest.mark.usefixtures("patient")
def test_a_pool_that_has_something_brings_a_turn() -> None:
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    asyncio.run(drive(Turns(), bell, lambda: os.eventfd_write(bell, 1)))
    os.close(bell)


@pytest.mark.usefixtures("patient")
def test_a_time_brings_a_turn() -> None:
    bell, frontend = os.eventfd(0, os.EFD_NONBLOCK), Turns(time.monotonic() + 0.05)
    asyncio.run(drive(frontend, bell, lambda: None))
    assert time.monotonic() >= frontend.next_s
    os.close(bell)


def test_many_clients_at_once_bring_one_turn() -> None:
    frontend = Turns()

    async def ask() -> None:
        with driven(frontend, None, asyncio.get_running_loop(), lambda _: None):  # type: ignore[arg-type]
            await after_turns(frontend, 1)
            before = frontend.turns
            for _ in range(10):
                frontend.busy()
            await asyncio.sleep(0)
            assert frontend.turns - before <= 2, "one of ours, and perhaps one whose time has come"

    asyncio.run(ask())
