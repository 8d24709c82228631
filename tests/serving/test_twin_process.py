"""The process that plays a served policy's past again: it answers, it ends, and nobody waits for it."""

import os
import signal
from array import array
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread

import pytest

from parity_exp.policies import Adaptive
from parity_exp.policies.estimates.seen import Seen
from parity_exp.policies.replay import Replayed
from parity_exp.serving.twin_process import TwinProcess
from parity_exp.simulation.twin import replay
from tests.serving.pool_driver import gone, wait_until

BEGINS_S = array("d", (arrival * 0.01 for arrival in range(300)))
PAST = Seen(BEGINS_S, array("l", [0, 1, 2] * 100), BEGINS_S, array("d", [0.01] * 300), 1.0, 3)
WAYS = {"adaptive": Adaptive(2, 1), "hedging": Adaptive(2, 1, sends_parity=False)}


@pytest.fixture
def twin() -> Iterator[TwinProcess]:
    twin = TwinProcess()
    yield twin
    twin.close()


def asked(twin: TwinProcess) -> None:
    wait_until(lambda: twin.ask(PAST, WAYS, 0.0))


def answered(twin: TwinProcess) -> dict[str, Replayed]:
    said: list[dict[str, Replayed]] = []

    def has_answer() -> bool:
        said.extend(filter(None, [twin.answer(0.0)]))
        return bool(said)

    wait_until(has_answer)
    return said[0]


@pytest.mark.slow
def test_it_plays_the_past_as_a_simulation_does_and_takes_one_thing_at_a_time(twin: TwinProcess) -> None:
    asked(twin)
    assert not twin.ask(PAST, WAYS, 0.0), "it has something to do"
    assert answered(twin) == replay(PAST, WAYS)
    assert twin.answer(0.0) is None
    asked(twin)
    answered(twin)


@pytest.mark.slow
def test_who_has_waited_for_it_may_ask_at_once(twin: TwinProcess) -> None:
    twin.wait()
    assert twin.ask(PAST, WAYS, 0.0)
    assert answered(twin) == replay(PAST, WAYS)


@pytest.mark.slow
def test_nobody_waits_for_one_that_has_died_before_it_was_there(twin: TwinProcess) -> None:
    assert twin.pid is not None
    os.kill(twin.pid, signal.SIGKILL)
    twin.wait()
    assert not twin.ask(PAST, WAYS, 0.0)


@pytest.mark.slow
def test_one_that_was_killed_is_asked_nothing_and_harms_nobody(twin: TwinProcess) -> None:
    asked(twin)
    answered(twin)
    assert twin.pid is not None
    os.kill(twin.pid, signal.SIGKILL)
    twin.ask(PAST, WAYS, 0.0)  # it may not have been noticed yet
    assert not twin.ask(PAST, WAYS, 0.0)
    assert twin.answer(0.0) is None


@pytest.mark.slow
def test_nobody_waits_for_one_that_does_not_read_though_the_past_is_long(twin: TwinProcess) -> None:
    long = array("d", (arrival * 0.01 for arrival in range(200_000)))
    past = replace(PAST, begins_s=long, durations_s=array("d", [0.01]) * 200_000, instances=array("l", [0]) * 200_000)
    asked(twin)
    answered(twin)
    assert twin.pid is not None
    os.kill(twin.pid, signal.SIGSTOP)
    asks = Thread(target=twin.ask, args=(past, WAYS, 0.0), daemon=True)
    asks.start()
    asks.join(30)
    assert not asks.is_alive() and twin.answer(0.0) is None
    os.kill(twin.pid, signal.SIGCONT)
    assert set(answered(twin)) == set(WAYS)


@pytest.mark.slow
def test_it_is_gone_at_the_end_whatever_it_does() -> None:
    twin = TwinProcess()
    asked(twin)
    pid = twin.pid
    assert pid is not None
    twin.close()
    wait_until(lambda: gone(pid))
