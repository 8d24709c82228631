"""Between clients and models: who may ask what, how much may wait, and answers brought to those who wait for them.

Everything here runs in the thread of asyncio, as frontends do.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from torch import Tensor

import parity_exp
from parity_exp.endpoint.asked import Asked
from parity_exp.endpoint.live_frontend import LiveFrontend
from parity_exp.endpoint.protocol.facts import Facts
from parity_exp.endpoint.protocol.refused import GONE, RefusedError, Why
from parity_exp.endpoint.protocol.requests import InferRequest
from parity_exp.endpoint.room import RETRY_AFTER_S, Room
from parity_exp.endpoint.settings import Settings
from parity_exp.endpoint.watch import Metrics, Watch

NAME = "parity_exp"
EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "model_repository", "parameters")
"""Of the protocol, by Triton's names."""

PREPARERS = 2
"""So many requests with raw queries are prepared at a time; of the largest pictures each takes some 300 MB."""


@dataclass(frozen=True)
class Served:
    """A version of a model, while it is served.

    Attributes:
        facts: what clients are told of it.
        frontend: answers.
        watch: knows how it does.
    """

    facts: Facts
    frontend: LiveFrontend
    watch: Watch


class Hub:
    """Knows the models of a server.

    Args:
        settings: how much it takes, and from whom.
        metrics: of the server.

    Attributes:
        loop: that requests are handled in; set before there are any.
        waiting: queries without an answer.
        room: for the bytes of requests.
        ending: nothing new is taken.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.waiting = 0
        self.room = Room(settings.in_flight_bytes)
        metrics.request_bytes.set_function(lambda: self.room.used)
        self.ending = False
        self.models: dict[str, dict[str, Served]] = {}
        self._authorization = None if (token := settings.token()) is None else b"Bearer " + token
        self._under_way: set[Asked] = set()
        self._preparers = ThreadPoolExecutor(PREPARERS, "preparing")

    def add(self, served: Served) -> None:
        """Serve a version of a model."""
        self.models.setdefault(served.facts.name, {})[served.facts.version] = served

    # ---- what there is

    def find(self, name: str, version: str = "") -> Served:
        """A version of a model; without one the latest.

        Raises:
            RefusedError: there is none.
        """
        versions = self.models.get(name)
        if versions is None:
            raise RefusedError(Why.UNKNOWN, f"there is no model {name[:200]!r}; there are {', '.join(self.models)}")
        if not version:
            return list(versions.values())[-1]
        if version not in versions:
            raise RefusedError(
                Why.UNKNOWN, f"model {name!r} has no version {version[:200]!r}; it has {', '.join(versions)}"
            )
        return versions[version]

    def versions(self, name: str) -> Sequence[str]:
        """Versions of a model."""
        return list(self.models[name])

    @property
    def ready(self) -> bool:
        """Whether requests are taken, and each model has an instance."""
        return not self.ending and all(map(self.is_ready, self.served()))

    def is_ready(self, served: Served) -> bool:
        """Whether requests for a model are taken."""
        return not self.ending and served.watch.any_up

    def served(self) -> list[Served]:
        """All versions of all models."""
        return [one for versions in self.models.values() for one in versions.values()]

    def metadata(self) -> dict[str, object]:
        """What the server says of itself."""
        return {"name": NAME, "version": parity_exp.__version__, "extensions": list(EXTENSIONS)}

    def index(self) -> list[dict[str, str]]:
        """All models with their state."""
        return [
            {
                "name": one.facts.name,
                "version": one.facts.version,
                "state": "READY" if self.is_ready(one) else "UNAVAILABLE",
                "reason": ""
                if self.is_ready(one)
                else ("the server is ending" if self.ending else "no instance is up"),
            }
            for one in self.served()
        ]

    def check_token(self, authorization: bytes | None) -> None:
        """Refuse who does not bring the token, where there is one.

        Raises:
            RefusedError: it is missing, or another.
        """
        if self._authorization is None:
            return
        if authorization is None or not hmac.compare_digest(authorization, self._authorization):
            raise RefusedError(Why.NO_TOKEN, "the bearer token is missing or wrong")

    # ---- asking

    async def ask(self, served: Served, request: InferRequest, protocol: str) -> Asked:
        """Have a request answered, and wait for that.

        Raises:
            RefusedError: it cannot be, or not now.
            asyncio.CancelledError: its client has gone away.
        """
        arrived_s = time.monotonic()
        inputs = await self.prepared(served.facts, request) if served.facts.prepares(request) else None
        future: asyncio.Future[None] = self.loop.create_future()

        def tell(_: Asked) -> None:
            if not future.done():  # its client may be about to find out that it has gone
                future.set_result(None)

        asked = self.take(served, request, tell, inputs, arrived_s)
        try:
            await future
        except asyncio.CancelledError:
            served.frontend.leave(asked)
            self.metrics.failure.labels(GONE).inc()
            raise
        self.check_answered(served, asked, protocol)
        return asked

    def take(
        self,
        served: Served,
        request: InferRequest,
        tell: Callable[[Asked], None],
        inputs: Tensor | None = None,
        arrived_s: float | None = None,
    ) -> Asked:
        """Take a request that is to be answered.

        Args:
            served: whom it asks.
            request: what it asks.
            tell: is called when it is answered, also where its client has gone away by then.
            inputs: what networks are to see, where that has been made already.
            arrived_s: in ``time.monotonic()``; None: now.

        Raises:
            RefusedError: it cannot be answered, or not now.
        """
        settings = self.settings
        if self.ending and inputs is None:  # what was being prepared when the end began is answered
            raise RefusedError(Why.ENDING, "the server is ending", RETRY_AFTER_S)
        if arrived_s is None:
            arrived_s = time.monotonic()
        if inputs is None:
            inputs = served.facts.tensor(request, settings.batch)
        count = len(inputs)
        if self.waiting + count > settings.queue:
            raise RefusedError(Why.FULL, f"{self.waiting} queries wait already; try again later", RETRY_AFTER_S)
        after_s = settings.deadline_s if request.deadline_ms is None else request.deadline_ms / 1e3
        asked = Asked(inputs, arrived_s + after_s, request.exact)
        asked.arrived_s = arrived_s
        asked.tell = tell
        self.waiting += count
        self._under_way.add(asked)
        served.frontend.ask(asked)
        return asked

    def check_answered(self, served: Served, asked: Asked, protocol: str) -> None:
        """Take note of an answer.

        Raises:
            RefusedError: it is none.
        """
        if asked.failed:
            raise RefusedError(Why.NO_ANSWER, "no instance could answer", RETRY_AFTER_S)
        served.watch.requested(protocol, asked.finished_s - asked.arrived_s)

    async def prepared(self, facts: Facts, request: InferRequest) -> Tensor:
        """Inputs from raw queries, made beside the loop: a picture may take longer than everybody else's answers.

        Raises:
            RefusedError: they are not what they should be, or too many wait already.
        """
        if self.ending:
            raise RefusedError(Why.ENDING, "the server is ending", RETRY_AFTER_S)
        if self.waiting >= self.settings.queue:
            raise RefusedError(Why.FULL, f"{self.waiting} queries wait already; try again later", RETRY_AFTER_S)
        self.waiting += 1  # until it is known how many they are
        try:
            return await self.loop.run_in_executor(self._preparers, facts.tensor, request, self.settings.batch)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Let nothing be prepared any more."""
        self._preparers.shutdown(wait=False, cancel_futures=True)

    def answered(self, done: list[Asked]) -> None:
        """Bring answers to who waits for them."""
        for asked in done:
            self._settle(asked)

    def _settle(self, asked: Asked) -> None:
        if asked in self._under_way:
            self._under_way.discard(asked)
            self.waiting -= len(asked)
            if asked.tell is not None:
                asked.tell(asked)

    def give_up(self) -> None:
        """Answer what is left with an error."""
        for asked in list(self._under_way):
            self._settle(asked)

    def summary(self) -> Mapping[str, object]:
        """What people see."""
        return {"ready": self.ready, "ending": self.ending, "waiting": self.waiting, "queue": self.settings.queue}
