"""HTTP/1.1 as uvicorn speaks it with httptools, and what it leaves open: clients that never come to an end."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 2**16
"""Longest head of a request."""

TASK, GONE_AWAY = "parity_exp.task", "parity_exp.gone_away"
"""Keys of a request's scope: who answers it, and that nobody waits for the answer any more."""

TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\ncontent-length: 48\r\n"
    b'connection: close\r\n\r\n{"error":"the head of the request is too long" }'
)


def protocol_class(timeout_s: float) -> type[HttpToolsProtocol]:
    """A protocol that lets clients go which neither send nor read for so long, and whose heads have an end."""

    class GuardedProtocol(HttpToolsProtocol):
        """One connection."""

        _guard: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None
        _in_body = False
        _head_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            if self._stuck is not None:
                self._stuck.cancel()
            super().connection_lost(exc)
            if self.cycle is not None and not self.cycle.response_complete:
                scope: Any = self.cycle.scope
                if TASK in scope:
                    scope[GONE_AWAY] = True
                    scope[TASK].cancel()

        def data_received(self, data: bytes) -> None:
            if not self._in_body:
                self._head_bytes += len(data)
                self._watch()
            super().data_received(data)
            if not self._in_body and self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LONG)
                self.transport.close()

        def on_headers_complete(self) -> None:
            self._in_body = True
            self._head_bytes = 0
            self._unwatch()
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_body = False
            super().on_message_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stuck = self.loop.call_later(timeout_s, self.transport.abort)

        def resume_writing(self) -> None:
            if self._stuck is not None:
                self._stuck.cancel()
                self._stuck = None
            super().resume_writing()

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
