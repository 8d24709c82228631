"""The protocol over HTTP.

Inference goes past the routing, as plain ASGI, for it is what an endpoint does all day; the rest is a Starlette app.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parity_exp.endpoint.hub import Hub, Served
from parity_exp.endpoint.protocol.answers import write_json
from parity_exp.endpoint.protocol.refused import BROKEN, DEFECT, RefusedError, Why, malformed
from parity_exp.endpoint.protocol.requests import read_json
from parity_exp.endpoint.room import Held
from parity_exp.endpoint.transports.compression import compressed, decompressed, wanted_encoding
from parity_exp.endpoint.transports.http_protocol import GONE_AWAY, TASK
from parity_exp.endpoint.transports.people import page

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")

JSON, OCTETS = b"application/json", b"application/octet-stream"
HEADER_LENGTH = b"inference-header-content-length"

OPEN = ("/v2/health/live", "/v2/health/ready")
"""What those may ask who have no token: what keeps servers running."""


class GoneError(Exception):
    """The client has gone away before its request was whole."""


class Rest:
    """An ASGI application.

    Args:
        hub: knows the models.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._others = _others(hub)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            if scope["path"] not in OPEN:
                self.hub.check_token(_header(scope, b"authorization"))
            found = INFER.fullmatch(scope["path"])
            if found is None:
                await self._others(scope, receive, send)
            elif scope["method"] != "POST":
                raise RefusedError(Why.METHOD, f"{scope['method'][:20]}: inference is a POST")
            else:
                served = self.hub.find(unquote(found[1]), unquote(found[2] or ""))
                await self._infer(served, scope, receive, send)
        except RefusedError as refused:
            self.hub.metrics.failure.labels(refused.why.reason).inc()
            await _send(send, refused.why.status, _error(refused.text), _headers_of(refused))
        except GoneError:
            return
        except asyncio.CancelledError:
            if not scope.get(GONE_AWAY):
                raise
        except Exception:
            log.exception("a request could not be handled")
            self.hub.metrics.failure.labels(BROKEN).inc()
            await _send(send, 500, _error(DEFECT), [(b"connection", b"close")])

    async def _infer(self, served: Served, scope: Scope, receive: Receive, send: Send) -> None:
        scope[TASK] = asyncio.current_task()
        with Held(self.hub.room) as held:
            await self._answer(served, scope, receive, send, held)

    async def _answer(self, served: Served, scope: Scope, receive: Receive, send: Send, held: Held) -> None:
        settings = self.hub.settings
        length = encoding = accepted = size = None
        for name, value in scope["headers"]:
            if name == HEADER_LENGTH:
                length = value
            elif name == b"content-encoding":
                encoding = value.strip().lower()
            elif name == b"accept-encoding":
                accepted = value
            elif name == b"content-length":
                size = value
        if size is not None and int(size) > settings.body_bytes:
            raise _too_large(settings.body_bytes)
        if size is not None:
            self.hub.room.check(int(size))  # before it is read; it counts as far as it has been read
        body = await read_body(receive, settings.body_bytes, settings.client_timeout_s, held)
        if encoding and encoding != b"identity":
            body = decompressed(body, encoding, settings.body_bytes)
            held.more(len(body))
        request = read_json(body, None if length is None else _whole(length))
        asked = await self.hub.ask(served, request, "http")
        answer, head = write_json(served.facts, request, asked)
        headers: Headers = []
        if head is not None:
            headers.append((HEADER_LENGTH, str(head).encode()))
        wanted = wanted_encoding(accepted)
        if wanted is not None:
            answer = compressed(answer, wanted)
            headers.append((b"content-encoding", wanted))
        await _send(send, 200, answer, headers, JSON if head is None else OCTETS)


async def read_body(receive: Receive, most: int, timeout_s: float, held: Held) -> bytes | bytearray:
    """The body of a request.

    Raises:
        RefusedError: it is too long, does not come in time, or finds no room.
        GoneError: the client has gone away.
    """
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
            if message["type"] != "http.request":
                raise GoneError
            body: bytes | bytearray = message.get("body", b"")
            held.more(len(body))
            if message.get("more_body", False):
                body = bytearray(body)
                while message.get("more_body", False):
                    if len(body) > most:
                        break
                    message = await receive()
                    if message["type"] != "http.request":
                        raise GoneError
                    more = message.get("body", b"")
                    held.more(len(more))
                    body += more
    except TimeoutError:
        raise RefusedError(Why.SLOW, f"the request was not whole after {timeout_s:g} s") from None
    if len(body) > most:
        raise _too_large(most)
    return body


def _too_large(most: int) -> RefusedError:
    return RefusedError(Why.TOO_LARGE, f"the body has more than {most} bytes")


def _whole(value: bytes) -> int:
    if not value.strip().isdigit() or len(value) > 18:
        raise malformed(f"Inference-Header-Content-Length: {value[:40]!r}; expected a number of bytes")
    return int(value)


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


def _headers_of(refused: RefusedError) -> Headers:
    headers: Headers = []
    if refused.retry_after_s is not None:
        headers.append((b"retry-after", f"{max(1, round(refused.retry_after_s))}".encode()))
    if refused.why is Why.NO_TOKEN:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.why in (Why.TOO_LARGE, Why.SLOW, Why.ENDING, Why.NO_ROOM):
        headers.append((b"connection", b"close"))  # what is left of the request is not read
    return headers


async def _send(send: Send, status: int, body: bytes, headers: Headers, kind: bytes = JSON) -> None:
    every = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": body})


def _others(hub: Hub) -> Starlette:
    """Everything but inference."""

    async def server(_: Request) -> Response:
        return JSONResponse(hub.metadata())

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        return JSONResponse({"ready": hub.ready}, 200 if hub.ready else 503)

    async def model(request: Request) -> Response:
        served = _asked_for(hub, request)
        return JSONResponse(served.facts.metadata(hub.versions(served.facts.name)))

    async def model_ready(request: Request) -> Response:
        served = _asked_for(hub, request)
        is_ready = hub.is_ready(served)
        return JSONResponse({"name": served.facts.name, "ready": is_ready}, 200 if is_ready else 503)

    async def config(request: Request) -> Response:
        return JSONResponse(_asked_for(hub, request).facts.config(hub.settings.batch))

    async def index(_: Request) -> Response:
        return JSONResponse(hub.index())

    async def metrics(request: Request) -> Response:
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(hub.metrics.registry), media_type=kind)

    async def status(_: Request) -> Response:
        return JSONResponse({**hub.summary(), "models": [one.watch.status() for one in hub.served()]})

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        headers = {name.decode(): value.decode() for name, value in _headers_of(error)}
        return JSONResponse({"error": error.text}, error.why.status, headers)

    async def unknown(request: Request, _: Exception) -> Response:
        return JSONResponse({"error": f"there is nothing at {request.url.path[:200]}"}, 404)

    async def method(request: Request, _: Exception) -> Response:
        return JSONResponse({"error": f"{request.method}: not for {request.url.path[:200]}"}, 405)

    one = "/v2/models/{model}"
    version = f"{one}/versions/{{version}}"
    return Starlette(
        routes=[
            Route("/", page),
            Route("/status", status),
            Route("/metrics", metrics),
            Route("/v2", server),
            Route("/v2/health/live", live),
            Route("/v2/health/ready", ready),
            Route("/v2/models", index),
            Route("/v2/repository/index", index, methods=["POST"]),
            *(Route(path, model) for path in (one, version)),
            *(Route(f"{path}/ready", model_ready) for path in (one, version)),
            *(Route(f"{path}/config", config) for path in (one, version)),
        ],
        exception_handlers={RefusedError: refused, 404: unknown, 405: method},
    )


def _asked_for(hub: Hub, request: Request) -> Served:
    return hub.find(request.path_params["model"], request.path_params.get("version", ""))
