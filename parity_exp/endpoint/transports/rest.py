"""The protocol over HTTP, but for inference, which has its own way (:mod:`parity_exp.endpoint.transports.exchange`)."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parity_exp.endpoint.hub import Hub, Served
from parity_exp.endpoint.protocol.refused import BROKEN, DEFECT, RefusedError, Why, malformed
from parity_exp.endpoint.transports.exchange import asked_model
from parity_exp.endpoint.transports.http_words import JSON, Headers, error_body, headers_of
from parity_exp.endpoint.transports.people import page

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OPEN = ("/v2/health/live", "/v2/health/ready")
"""What those may ask who have no token: what keeps servers running."""


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
            if asked_model(scope["raw_path"]) is None:
                await self._others(scope, receive, send)
            elif scope["method"] != "POST":
                raise RefusedError(Why.METHOD, f"{scope['method'][:20]}: inference is a POST")
            else:
                raise malformed("inference does not go on in another protocol: Upgrade")
        except RefusedError as refused:
            self.hub.metrics.failure.labels(refused.why.reason).inc()
            await _send(send, refused.why.status, error_body(refused.text), headers_of(refused))
        except Exception:
            log.exception("a request could not be handled")
            self.hub.metrics.failure.labels(BROKEN).inc()
            await _send(send, 500, error_body(DEFECT), [(b"connection", b"close")])


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    every = [(b"content-type", JSON), (b"content-length", str(len(body)).encode()), *headers]
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
        return Response(encode(hub.metrics), media_type=kind)

    async def status(_: Request) -> Response:
        return JSONResponse({**hub.summary(), "models": [one.watch.status() for one in hub.served()]})

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        headers = {name.decode(): value.decode() for name, value in headers_of(error)}
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
