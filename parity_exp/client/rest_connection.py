"""One connection of HTTP/1.1, with one request at a time."""

import asyncio
import time
from collections.abc import Callable
from typing import cast

import httptools


class Response:
    """What a server has answered over HTTP.

    Attributes:
        status: of HTTP.
        headers: by their names in small letters.
        body: all of it.
        at_s: when the last of it was there, in ``time.monotonic()``.
    """

    __slots__ = ("at_s", "body", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes, at_s: float) -> None:
        self.status, self.headers, self.body, self.at_s = status, headers, body, at_s


Done = Callable[["Connection", Response | None], None]
"""Is called with the answer; without one where the connection ended before it."""

EXPECTED = 32
"""Longest body in MiB that is read; a server that sends more is cut off."""


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        done: is called when a request is over.
        ended: is called when the connection is.

    Attributes:
        busy: a request is under way.
        used: it has answered a request before this one.
        began: something of the answer has come.
    """

    def __init__(self, done: Done, ended: Callable[["Connection"], None]) -> None:
        self._done, self._ended = done, ended
        self._transport: asyncio.Transport | None = None
        self.busy = self.used = self.began = False
        self._keeps = True
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._size = 0

    def request(self, content: bytes) -> None:
        """Send a request; the connection must not be busy."""
        assert self._transport is not None
        self.busy, self.began = True, False
        self._transport.write(content)

    def abort(self) -> None:
        """Cut it off; a request under way is over by that."""
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.began = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.busy:
            self.busy = False
            self._done(self, None)
        self._ended(self)

    # ---- the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """A piece of the body has come."""
        self._pieces.append(body)
        self._size += len(body)
        if self._size > EXPECTED * 2**20:
            self.abort()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        at_s = time.monotonic()
        status, self._keeps = self._parser.get_status_code(), self._parser.should_keep_alive()
        if status < 200:  # something before the answer
            self._headers, self._pieces = {}, []
            return
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        response = Response(status, self._headers, body, at_s)
        self._headers, self._pieces, self._size = {}, [], 0
        if not self.busy:  # an answer that nobody has asked for
            self.abort()
            return
        self.busy, self.used = False, True
        if not self._keeps and self._transport is not None:
            self._transport.close()
        self._done(self, response)

    @property
    def free(self) -> bool:
        """Whether it takes another request."""
        return self._keeps and not self.busy and self._transport is not None and not self._transport.is_closing()
