"""A server of the protocol that shares no code with the package: what other people's servers are like."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

SHAPE = (1, 4, 4)


class Other:
    """How it behaves, which may change while it runs.

    Attributes:
        url: where it is.
        binary: it says that it takes binary tensors.
        silent: it says nothing of its inputs.
        index: it has a repository index.
        status: what inference answers instead of predictions, by the number of the request; 200: these.
        delay_s: how long it takes, likewise.
        dies_at: the number of the request that it does not survive.
        seen: requests that have come.
        body: answered in the place of predictions.
        asked: requests that were answered.
        bodies: what they were.
    """

    def __init__(self) -> None:
        self.url = ""
        self.binary = False
        self.silent = False
        self.index = True
        self.status: Callable[[int], int] = lambda _: 200
        self.delay_s: Callable[[int], float] = lambda _: 0.0
        self.dies_at = 10**9
        self.seen = 0
        self.body: bytes | None = None
        self.shape: list[int] = [-1, *SHAPE]
        self.asked = 0
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.server: uvicorn.Server | None = None

    def kill(self) -> None:
        """End at once, whatever is under way."""
        assert self.server is not None
        self.server.should_exit = self.server.force_exit = True

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v2", self._server),
                Route("/v2/models/sums", self._model),
                Route("/v2/models/sums/infer", self._infer, methods=["POST"]),
                Route("/v2/repository/index", self._index, methods=["POST"]),
            ]
        )

    async def _server(self, _: Request) -> Response:
        return JSONResponse({"name": "other", "extensions": ["binary_tensor_data"] if self.binary else []})

    async def _index(self, _: Request) -> Response:
        return JSONResponse([{"name": "sums", "state": "READY"}]) if self.index else JSONResponse({}, 404)

    async def _model(self, _: Request) -> Response:
        inputs = [] if self.silent else [{"name": "x", "datatype": "FP32", "shape": self.shape}]
        return JSONResponse({"name": "sums", "versions": ["1"], "platform": "other", "inputs": inputs, "outputs": []})

    async def _infer(self, request: Request) -> Response:
        raw = await request.body()
        self.seen += 1
        status = self.status(self.seen)
        if self.seen >= self.dies_at:
            self.kill()
        await asyncio.sleep(self.delay_s(self.seen))
        length = request.headers.get("inference-header-content-length")
        head = json.loads(raw if length is None else raw[: int(length)])
        self.headers.append(dict(request.headers))
        self.bodies.append(head)
        if status != 200:
            return JSONResponse({"error": "not now"}, status)
        if self.body is not None:
            return Response(self.body)
        (given,) = head["inputs"]
        values = (
            np.array(given["data"], np.float32) if length is None else np.frombuffer(raw[int(length) :], np.float32)
        )
        sums = values.reshape(given["shape"][0], -1).sum(1)
        outputs = np.stack([sums, -sums], 1)
        self.asked += 1
        return JSONResponse(
            {
                "model_name": "sums",
                "outputs": [
                    {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["an output that is no numbers"]},
                    {"name": "y", "datatype": "FP32", "shape": list(outputs.shape), "data": outputs.ravel().tolist()},
                ],
            }
        )


class Running:
    """A server in a thread, at a free port, that answers for one after the other: to start and to end take long."""

    def __init__(self) -> None:
        config = uvicorn.Config(self._answer, port=0, log_level="critical", lifespan="off", interface="asgi3")
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        end_s = time.monotonic() + 30
        while not self.server.started:
            assert time.monotonic() < end_s and self._thread.is_alive(), "the server does not start"
            time.sleep(0.005)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"
        self.app: ASGIApp | None = None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None, "nobody is to be asked now"
        await self.app(scope, receive, send)

    def end_if_killed(self) -> bool:
        """Whether somebody has killed it."""
        if self.server.should_exit:
            self._thread.join(30)
        return self.server.should_exit


_running: list[Running] = []


@contextmanager
def other_server() -> Iterator[Other]:
    """A server; those of earlier blocks may be at its address, and what they have begun may go on there."""
    if not _running:
        _running.append(Running())
    running = _running[0]
    made = Other()
    made.server, made.url, running.app = running.server, running.url, made.app()
    try:
        yield made
    finally:
        running.app = None
        if running.end_if_killed():
            _running.clear()
