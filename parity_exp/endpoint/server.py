"""The server: REST and gRPC in one loop, from the first request to the end of the last.

SIGTERM and Ctrl-C drain it: what has been taken is answered, what comes from then on is told to come back later, and
when nothing is left, or the time for it is over, the server ends. A second signal ends it at once.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import uvicorn

from parity_exp.checks import SettingError
from parity_exp.endpoint.hub import Hub
from parity_exp.endpoint.transports.grpc_service import start_grpc, stop_grpc
from parity_exp.endpoint.transports.http_protocol import protocol_class
from parity_exp.endpoint.transports.rest import Rest

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

LOOK_S = 0.02
LAST_WORDS_S = 1.0
"""After the last answer so long is left for it to reach its client."""

KEEP_ALIVE_S = 75
"""A connection that nobody uses is closed after this time."""


class Server:
    """Serves what a hub knows.

    Args:
        hub: with its models.

    Attributes:
        port: of REST, once it listens.
        grpc_port: of gRPC; None: there is none.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.port = hub.settings.port
        self.grpc_port = hub.settings.grpc_port
        self._end: asyncio.Event | None = None
        self._at_once = False

    def run(
        self,
        driven: Callable[[asyncio.AbstractEventLoop], AbstractContextManager[None]],
        listening: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve until a signal comes or :meth:`end` is called.

        Args:
            driven: has the models' frontends serve in a loop for the length of a block.
            listening: is called when requests are taken.

        Raises:
            SettingError: a port that cannot be listened at.
        """
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._run(driven, listening))

    def end(self) -> None:
        """Drain and end; a second call ends at once. From the loop's thread."""
        self._at_once |= self.hub.ending
        self.hub.ending = True
        if self._end is not None:
            self._end.set()

    async def _run(
        self,
        driven: Callable[[asyncio.AbstractEventLoop], AbstractContextManager[None]],
        listening: Callable[[], None],
    ) -> None:
        hub, settings = self.hub, self.hub.settings
        loop = hub.loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        listener = listen(settings.host, settings.port)
        self.port = listener.getsockname()[1]
        grpc_server = None
        try:
            if settings.grpc_port is not None:
                try:
                    grpc_server, self.grpc_port = await start_grpc(hub, settings.grpc_port)
                except OSError as error:
                    raise SettingError(f"{{grpc_port}}={settings.grpc_port}: {error}; give another") from None
            web = _Web(self._web_config())
            serving = asyncio.create_task(web.serve([listener]))
            with driven(loop), _signals(loop, self.end):
                while not web.started and not serving.done():
                    await asyncio.sleep(LOOK_S)
                listening()
                ended = asyncio.create_task(self._end.wait())
                await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
                ended.cancel()
                hub.ending = True
                await self._drain()
                web.should_exit = True
                if grpc_server is not None:
                    await stop_grpc(grpc_server, LAST_WORDS_S)
                await serving
        finally:
            listener.close()

    async def _drain(self) -> None:
        """Wait until everything has its answer, or the time for it is over."""
        until_s = time.monotonic() + self.hub.settings.drain_s
        while self.hub.waiting and time.monotonic() < until_s and not self._at_once:
            await asyncio.sleep(LOOK_S)
        if self.hub.waiting:
            log.warning("%d queries had no answer when the server ended", self.hub.waiting)
            self.hub.give_up()
        await asyncio.sleep(LOOK_S)

    def _web_config(self) -> uvicorn.Config:
        settings = self.hub.settings
        more: dict[str, Any] = {}
        if settings.certificate() is not None:
            more = {"ssl_certfile": settings.tls_cert, "ssl_keyfile": settings.tls_key}
        return uvicorn.Config(
            Rest(self.hub),
            http=protocol_class(self.hub),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",  # what is wrong with requests is told to clients and metrics, and defects by the app
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=settings.connections,
            backlog=2048,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            **more,
        )


class _Web(uvicorn.Server):
    """uvicorn without its own handlers of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _signals(loop: asyncio.AbstractEventLoop, handler: Callable[[], None]) -> Iterator[None]:
    """Have signals drain the server, and afterwards do what they did before."""
    before: list[tuple[signal.Signals, Any]] = []
    try:
        for number in SIGNALS:
            there = signal.getsignal(number)
            with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: somebody else hears signals
                loop.add_signal_handler(number, handler)
                before.append((number, there))
        yield
    finally:
        for number, there in before:
            loop.remove_signal_handler(number)
            signal.signal(number, there)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingError: the port is taken, or the address is not this machine's.
    """
    try:
        found: Sequence[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except socket.gaierror as error:
        raise SettingError(f"{{endpoint.host}}={host}: {error.strerror}; give an address of this machine") from None
    except OSError as error:
        raise SettingError(f"{{port}}={port}: {error.strerror} ({host}); give another port, or 0 for any") from None
    made.setblocking(False)
    return made


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.new_event_loop
