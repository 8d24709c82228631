"""An inference request over HTTP and its answer.

It is what an endpoint does all day, and so it goes past ASGI: no task, no scope and no messages for each request, but
calls from the parser to the hub, and from the hub to the socket. To uvicorn's protocol an exchange looks like the
cycle of an ASGI application, so that both kinds take turns on a connection.

Rules:

* A request is read as soon as its body is whole, and when what came before it on its connection has been answered.
* Exactly one answer is written, and after it the connection goes on or is closed.
* What is wrong with the head is said at once; the body is then read past, or the connection closed.
"""

import asyncio
import logging
import re
import time
from collections import deque
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from parity_exp.endpoint.asked import Asked
from parity_exp.endpoint.hub import Hub, Served
from parity_exp.endpoint.protocol.answers import write_json
from parity_exp.endpoint.protocol.refused import BROKEN, DEFECT, GONE, RefusedError, Why, malformed
from parity_exp.endpoint.protocol.requests import InferRequest, read_json
from parity_exp.endpoint.room import RETRY_AFTER_S, Held
from parity_exp.endpoint.transports.compression import compressed, decompressed, wanted_encoding
from parity_exp.endpoint.transports.http_words import JSON, OCTETS, error_body, headers_of

log = logging.getLogger(__name__)

INFER = re.compile(rb"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")

HEADER_LENGTH = b"inference-header-content-length"

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@lru_cache(1024)
def asked_model(path: bytes) -> tuple[str, str] | None:
    """Name and version of the model that a path asks for an inference; None: it is another path."""
    found = INFER.fullmatch(path)
    return None if found is None else (unquote(found[1]), unquote(found[2] or b""))


class _Nobody:
    """Waits for no message."""

    def set(self) -> None:
        pass


_NOBODY = _Nobody()


class Connection(HttpToolsProtocol):
    """What an exchange needs of its connection.

    Attributes:
        exchange: whose turn it is; None: there has been none.
        cycle: the latest request's: an exchange, or one of uvicorn's own.
        pipeline: others that wait for their turn, each with the ASGI app.
    """

    cycle: Any
    pipeline: deque[tuple[Any, Any]]
    exchange: "Exchange | None" = None


class Exchange:
    """One request and its answer.

    Args:
        connection: that it came over.
        hub: knows the models.
        model: name and version of the model that is asked.
        headers: of the request, names in small letters.
        keep_alive: the connection goes on afterwards.
        full: there are too many connections.

    Attributes:
        response_complete: it is over. This and the following are what uvicorn asks of a cycle.
        disconnected: its client has gone away.
        message_event: would be told of parts of a body.
    """

    __slots__ = (
        "_asked", "_body", "_connection", "_continue", "_guard", "_headers", "_held", "_hub", "_most", "_preparing",
        "_refused", "_request", "_served", "_settings", "_turn", "_unsent", "_whole", "disconnected", "keep_alive",
        "message_event", "response_complete",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        hub: Hub,
        model: tuple[str, str],
        headers: list[tuple[bytes, bytes]],
        keep_alive: bool,
        full: bool = False,
    ) -> None:
        self._connection = connection
        self._hub = hub
        self._settings = hub.settings
        self._most = hub.settings.body_bytes
        self._body: bytes | bytearray = b""
        self._held = Held(hub.room)
        self._headers: dict[bytes, bytes] = dict(headers)
        self._continue = connection.expect_100_continue
        self._guard: asyncio.TimerHandle | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._asked: Asked | None = None
        self._refused: RefusedError | None = None
        self._unsent: bytes | None = None
        self._turn = self._whole = False
        self.keep_alive = keep_alive
        self.response_complete = self.disconnected = False
        self.message_event = _NOBODY
        try:
            if full:
                raise RefusedError(Why.FULL, "there are too many connections; try again later", RETRY_AFTER_S)
            hub.check_token(self._headers.get(b"authorization"))
            self._served: Served = hub.find(*model)
            size = self._headers.get(b"content-length")
            if size is not None:
                if int(size) > self._most:
                    raise self._too_large()
                hub.room.check(int(size))  # before it is read; it counts as far as it has been read
        except RefusedError as refused:
            self._refused = refused

    # ---- what the protocol tells

    def begin(self) -> None:
        """It is its turn on the connection."""
        self._turn = True
        self._connection.exchange = self
        if self._refused is not None:
            self._refuse(self._refused)
        elif self._whole:
            self._read()
        elif self._continue:
            self._connection.transport.write(CONTINUE)

    async def run_asgi(self, app: Any) -> None:
        """Likewise: uvicorn says so in these words to who had to wait."""
        if not self._connection.transport.is_closing():
            self.begin()

    def add(self, part: bytes) -> None:
        """A part of the body has come."""
        if self.response_complete or self._refused is not None:
            return
        if not self._body:
            self._body = part  # most are whole by that, and need not be copied
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += part
        try:
            if len(self._body) > self._most:
                raise self._too_large()
            self._held.more(len(part))
        except RefusedError as refused:
            self._fail(refused)

    def complete(self) -> None:
        """The body is whole."""
        self._whole = True
        self._unwatch()
        if self._turn and not self.response_complete and self._refused is None:
            self._read()

    def watch(self) -> None:
        """The body is not whole yet, and has to be in a while."""
        if self._guard is None and not self._whole and not self.response_complete:
            self._guard = self._hub.loop.call_later(self._settings.client_timeout_s, self._too_slow)

    def gone(self) -> None:
        """The client has gone away."""
        self.disconnected = self.response_complete = True
        self._unwatch()
        if self._asked is not None:
            self._served.frontend.leave(self._asked)
            self._hub.metrics.failure.labels(GONE).inc()
        else:
            self._held.end()
        if self._preparing is not None:
            self._preparing.cancel()

    def flush(self) -> None:
        """The client reads again."""
        if self._unsent is not None:
            answer, self._unsent = self._unsent, None
            self._write(answer)

    # ---- what becomes of it

    def _read(self) -> None:
        arrived_s = time.monotonic()
        try:
            headers = self._headers
            body, length = self._body, headers.get(HEADER_LENGTH)
            encoding = headers.get(b"content-encoding")
            if encoding is not None and (encoding := encoding.strip().lower()) and encoding != b"identity":
                body = decompressed(body, encoding, self._most)
                self._held.more(len(body))
            request = read_json(body, None if length is None else _whole(length))
            self._body = b""
            self._request = request
            if self._served.facts.prepares(request):
                self._preparing = self._hub.loop.create_task(self._prepare(request, arrived_s))
            else:
                self._asked = self._hub.take(self._served, request, self._answer, arrived_s=arrived_s)
        except RefusedError as refused:
            self._refuse(refused)
        except Exception:
            self._defect()

    async def _prepare(self, request: InferRequest, arrived_s: float) -> None:
        try:
            inputs = await self._hub.prepared(self._served.facts, request)
            self._asked = self._hub.take(self._served, request, self._answer, inputs, arrived_s)
        except RefusedError as refused:
            self._refuse(refused)
        except Exception:
            self._defect()

    def _answer(self, asked: Asked) -> None:
        self._asked = None
        if self.disconnected:
            self._held.end()
            return
        try:
            self._hub.check_answered(self._served, asked, "http")
            body, head = write_json(self._served.facts, self._request, asked)
            lines = [STATUS_LINE[200], b"content-type: ", JSON if head is None else OCTETS]
            if head is not None:
                lines.append(b"\r\ninference-header-content-length: %d" % head)
            accepted = self._headers.get(b"accept-encoding")
            wanted = None if accepted is None else wanted_encoding(accepted)
            if wanted is not None:
                body = compressed(body, wanted)
                lines += (b"\r\ncontent-encoding: ", wanted)
            lines.append(b"\r\ncontent-length: %d\r\n" % len(body))
            if not self.keep_alive:
                lines.append(b"connection: close\r\n")
            lines += (b"\r\n", body)
        except RefusedError as refused:
            self._refuse(refused)
        except Exception:
            self._defect()
        else:
            self._write(b"".join(lines))

    def _fail(self, refused: RefusedError) -> None:
        """Refuse it, as soon as it is its turn."""
        self._refused = refused
        if self._turn:
            self._refuse(refused)

    def _refuse(self, refused: RefusedError) -> None:
        self._hub.metrics.failure.labels(refused.why.reason).inc()
        headers = headers_of(refused)
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        self._write_error(refused.why.status, refused.text, headers)

    def _defect(self) -> None:
        log.exception("a request could not be handled")
        self._hub.metrics.failure.labels(BROKEN).inc()
        self.keep_alive = False
        self._write_error(500, DEFECT, [(b"connection", b"close")])

    def _write_error(self, status: int, text: str, headers: list[tuple[bytes, bytes]]) -> None:
        body = error_body(text)
        every = [(b"content-type", JSON), (b"content-length", b"%d" % len(body)), *headers]
        self._write(STATUS_LINE[status] + b"".join(b"%s: %s\r\n" % pair for pair in every) + b"\r\n" + body)

    def _write(self, answer: bytes) -> None:
        connection = self._connection
        self._held.end()
        if self.response_complete:
            return
        if connection.flow.write_paused:
            self._unsent = answer  # who does not read does not get more
            return
        self.response_complete = True
        self._unwatch()
        connection.transport.write(answer)
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()

    def _too_slow(self) -> None:
        self._guard = None
        seconds = self._settings.client_timeout_s
        self._fail(RefusedError(Why.SLOW, f"the request was not whole after {seconds:g} s"))

    def _too_large(self) -> RefusedError:
        return RefusedError(Why.TOO_LARGE, f"the body has more than {self._most} bytes")

    def _unwatch(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None


def path_of(url: bytes) -> bytes:
    """The path of a URL.

    Raises:
        httptools.HttpParserError: it is none.
    """
    return url if url[:1] == b"/" and b"?" not in url and b"#" not in url else httptools.parse_url(url).path


def _whole(value: bytes) -> int:
    if not value.strip().isdigit() or len(value) > 18:
        raise malformed(f"Inference-Header-Content-Length: {value[:40]!r}; expected a number of bytes")
    return int(value)
