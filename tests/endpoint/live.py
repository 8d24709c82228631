"""A live endpoint in this process, over instances that are functions, for tests that talk to it."""

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from parity_exp.endpoint.server import Server
from parity_exp.endpoint.session import serve_live
from parity_exp.endpoint.settings import Settings
from parity_exp.policies import NoRedundancy
from parity_exp.scenario.result import ServingResult
from parity_exp.serving.pool import Pool
from tests.quick_uvicorn import quick_uvicorn
from tests.serving.direct_pool import DirectPool

SHAPE = (1, 4, 4)
PATIENCE_S = 60.0


def summed(queries: Tensor) -> Tensor:
    """Three outputs for each query, which tell it from others: its sum, the double, and 0."""
    sums = queries.flatten(1).sum(1)
    return torch.stack([sums, 2 * sums, 0 * sums], dim=1)


class Summed(nn.Module):
    def forward(self, queries: Tensor) -> Tensor:
        return summed(queries)


class Live:
    """An endpoint that is being served in a thread.

    Attributes:
        server: with its ports.
        result: what came of it, once it has ended.
    """

    server: Server
    result: ServingResult | None = None

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.server.grpc_port}"

    def end(self) -> None:
        """As SIGTERM does."""
        self.server.hub.loop.call_soon_threadsafe(self.server.end)


@contextmanager
def live(
    pool: Pool | None = None, model: Callable[[Tensor], Tensor] = summed, policy: Any = NoRedundancy, **given: Any
) -> Iterator[Live]:
    """An endpoint at free ports, which ends with the block."""
    limits = {"port": 0, "grpc_port": 0, "record": 10_000} | given.pop("settings", {})
    there, made = threading.Event(), Live()
    failed: list[BaseException] = []

    def listening(server: Server) -> None:
        made.server = server
        there.set()

    def run() -> None:
        try:
            made.result = serve_live(
                Summed(),
                torch.zeros(4, *SHAPE),
                policies=policy,
                pool=pool or DirectPool(model),
                instances=given.pop("instances", 2),
                settings=Settings(**limits),
                listening=listening,
                **given,
            )
        except BaseException as error:
            failed.append(error)
        there.set()

    with pytest.MonkeyPatch.context() as patch:
        quick_uvicorn(patch)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert there.wait(PATIENCE_S), "the endpoint does not listen"
        if failed:
            raise failed[0]
        try:
            yield made
        finally:
            if thread.is_alive():
                made.end()
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the endpoint does not end"
            if failed:
                raise failed[0]


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.01)


def get(endpoint: Live, path: str) -> bytes:
    """What a page of it says."""
    with urllib.request.urlopen(f"http://{endpoint.http}{path}", timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def status(endpoint: Live) -> dict[str, Any]:
    """What people see of the newest version of its model."""
    return dict(json.loads(get(endpoint, "/status"))["models"][-1])


def metric(endpoint: Live, name: str) -> float:
    """The value of a metric, by its name with labels in their order."""
    lines = get(endpoint, "/metrics").decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name)
