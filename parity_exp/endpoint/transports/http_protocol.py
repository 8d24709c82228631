"""HTTP/1.1 as uvicorn speaks it with httptools, and what it leaves open: clients that never come to an end.

Requests for an inference go to an :class:`~parity_exp.endpoint.transports.exchange.Exchange`, others to the ASGI app.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from parity_exp.endpoint.hub import Hub
from parity_exp.endpoint.transports.exchange import Connection, Exchange, asked_model, path_of

MOST_HEAD_BYTES = 2**16
"""Longest head of a request."""

TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\ncontent-length: 48\r\n"
    b'connection: close\r\n\r\n{"error":"the head of the request is too long" }'
)


def protocol_class(hub: Hub) -> type[HttpToolsProtocol]:
    """A protocol for a hub's clients; it lets them go which neither send nor read for too long."""
    timeout_s = hub.settings.client_timeout_s

    class GuardedProtocol(Connection):
        """One connection."""

        _guard: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None
        _in_body = False
        _head_bytes = _new_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            if self._stuck is not None:
                self._stuck.cancel()
            if self.exchange is not None and not self.exchange.response_complete:
                self.exchange.gone()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._new_bytes = len(data)
            super().data_received(data)
            if self._in_body:
                if isinstance(self.cycle, Exchange):
                    self.cycle.watch()
                return
            self._head_bytes += self._new_bytes
            if self._head_bytes:
                self._watch()
                if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                    self.transport.write(TOO_LONG)
                    self.transport.close()

        def on_headers_complete(self) -> None:
            self._in_body = True
            self._head_bytes = self._new_bytes = 0
            self._unwatch()
            model = None
            if self.parser.get_method() == b"POST" and not self.parser.should_upgrade():
                model = asked_model(path_of(self.url))
            if model is None:
                super().on_headers_complete()
            else:
                self._exchange(model)

        def _exchange(self, model: tuple[str, str]) -> None:
            before = self.cycle
            keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
            full = len(self.connections) >= hub.settings.connections
            self.cycle = exchange = Exchange(self, hub, model, self.headers, keep_alive, full)
            if before is None or before.response_complete:
                exchange.begin()
            else:
                self.flow.pause_reading()
                self.pipeline.appendleft((exchange, self.app))

        def on_body(self, body: bytes) -> None:
            if isinstance(self.cycle, Exchange):
                self.cycle.add(body)
            else:
                super().on_body(body)

        def on_message_complete(self) -> None:
            self._in_body = False
            if isinstance(self.cycle, Exchange):
                self.cycle.complete()
            else:
                super().on_message_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stuck = self.loop.call_later(timeout_s, self.transport.abort)

        def resume_writing(self) -> None:
            if self._stuck is not None:
                self._stuck.cancel()
                self._stuck = None
            super().resume_writing()
            if self.exchange is not None:
                self.exchange.flush()

        def _watch(self) -> None:
            """From here on a head is to be complete in time."""
            if self._guard is None:
                self._guard = self.loop.call_later(timeout_s, self._let_go)

        def _unwatch(self) -> None:
            if self._guard is not None:
                self._guard.cancel()
                self._guard = None

        def _let_go(self) -> None:
            self._guard = None
            self.transport.abort()

    return GuardedProtocol
