"""Asks a server over REST."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from parity_exp.client.address import Address
from parity_exp.client.asking import (
    FAILED,
    MALFORMED,
    REFUSED,
    REJECTED,
    TIMED_OUT,
    UNREACHABLE,
    Ask,
    Client,
    LostError,
    ModelFacts,
    Reply,
    Tensor,
    TensorFacts,
)
from parity_exp.client.options import Options
from parity_exp.client.rest_bodies import read_answer, write_request
from parity_exp.client.rest_connection import Connection, Response

BINARY = "binary_tensor_data"
"""The extension's name, as servers list it."""

NO_ROOM = (429, 503)

LONGEST = 200


class RestClient(Client):
    """Asks a server over REST, by connections that it keeps.

    Args:
        address: where the server is.
        options: how to ask.
        settled: is told what becomes of requests.
    """

    def __init__(self, address: Address, options: Options) -> None:
        self._address, self._options = address, options
        self._tls = options.tls() if address.tls else None
        token = options.token()
        self._common = f"Host: {address.netloc}\r\nUser-Agent: parity_exp\r\nAccept: */*\r\n"
        if token is not None:
            self._common += f"Authorization: Bearer {token}\r\n"
        self._path = ""
        self._free: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[Ask, bool]] = deque()
        self._under_way: dict[Connection, tuple[Ask, bool]] = {}
        self._closing = False

    # ---- single questions, before the load begins

    async def models(self) -> list[str] | None:
        server = await self._get("/v2", missing_is_fine=True)
        if self._options.binary is not None:
            self.binary = self._options.binary
        else:
            self.binary = isinstance(server, dict) and BINARY in (server.get("extensions") or ())
        index = await self._get("/v2/repository/index", missing_is_fine=True, method="POST")
        if not isinstance(index, list):
            return None
        return list(dict.fromkeys(str(one["name"]) for one in index if isinstance(one, dict) and "name" in one))

    async def model(self, name: str, version: str) -> ModelFacts:
        of = f"/versions/{quote(version, safe='')}" if version else ""
        path = f"/v2/models/{quote(name, safe='')}{of}"
        self._path = f"{self._address.path}{path}/infer"
        found = await self._get(path)
        try:
            inputs, outputs = (
                [TensorFacts(str(one["name"]), str(one["datatype"]), tuple(map(int, one["shape"]))) for one in several]
                for several in (found.get("inputs") or (), found.get("outputs") or ())
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise LostError(MALFORMED, "its metadata are not those of the protocol") from None
        return ModelFacts(name, version, inputs, outputs)

    async def _get(self, path: str, missing_is_fine: bool = False, method: str = "GET") -> Any:
        content = b"{}" if method == "POST" else b""
        head = f"{method} {self._address.path}{path} HTTP/1.1\r\n{self._common}Content-Length: {len(content)}\r\n"
        kind = "Content-Type: application/json\r\n" if content else ""
        response = await self._once(f"{head}{kind}\r\n".encode() + content)
        if response.status == 200:
            try:
                return json.loads(response.body)
            except ValueError:
                raise LostError(MALFORMED, f"{path} is no JSON: it is no server of this protocol") from None
        if missing_is_fine and response.status in (400, 404, 405, 501):
            return None
        raise error_of(response)

    async def _once(self, content: bytes) -> Response:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[Response | None] = loop.create_future()

        def done(_: Connection, response: Response | None) -> None:
            if not over.done():
                over.set_result(response)

        try:
            async with asyncio.timeout(self._options.timeout_s):
                connection = await self._connect(Connection(done, lambda _: None))
                try:
                    connection.request(content)
                    response = await over
                finally:
                    connection.abort()
        except TimeoutError:
            raise LostError(TIMED_OUT, f"no answer in {self._options.timeout_s:g} s") from None
        except OSError as error:
            raise LostError(UNREACHABLE, reason_of(error)) from None
        if response is None:
            raise LostError(UNREACHABLE, "it closed the connection without an answer of HTTP")
        return response

    async def _connect(self, connection: Connection) -> Connection:
        loop = asyncio.get_running_loop()
        address = self._address
        name = address.host if self._tls is not None else None
        await loop.create_connection(
            lambda: connection, address.host, address.port, ssl=self._tls, server_hostname=name
        )
        return connection

    # ---- the load

    def encoded(self, tensors: Sequence[Tensor], parameters: Mapping[str, float | bool]) -> Any:
        body, length = write_request(tensors, parameters, self.binary)
        kind = "application/json" if length is None else "application/octet-stream"
        more = "" if length is None else f"Inference-Header-Content-Length: {length}\r\n"
        head = f"POST {self._path} HTTP/1.1\r\n{self._common}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}{more}\r\n".encode() + body

    def send(self, ask: Ask) -> None:
        self._place(ask, False)

    def _place(self, ask: Ask, again: bool) -> None:
        while self._free:
            connection = self._free.pop()
            if connection.free:
                self._under_way[connection] = ask, again
                connection.request(ask.payload)
                return
        self._waiting.append((ask, again))
        if len(self._open) + self._opening < self._options.connections and self._opening < len(self._waiting):
            self._opening += 1
            task = asyncio.get_running_loop().create_task(self._open_one())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open_one(self) -> None:
        connection = Connection(self._done, self._ended)
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await self._connect(connection)
        except (OSError, TimeoutError) as error:
            self._opening -= 1
            if self._waiting:
                ask, _ = self._waiting.popleft()
                self.settled(ask, time.monotonic(), LostError(UNREACHABLE, reason_of(error)))
            self._go_on()
            return
        self._opening -= 1
        self._open.add(connection)
        self._released(connection)

    def _released(self, connection: Connection) -> None:
        if self._waiting and connection.free:
            ask, again = self._waiting.popleft()
            self._under_way[connection] = ask, again
            connection.request(ask.payload)
        elif connection.free:
            self._free.append(connection)

    def _go_on(self) -> None:
        """Have connections for what waits, after one has gone."""
        if self._waiting and not self._closing:
            ask, again = self._waiting.popleft()
            self._place(ask, again)

    def _done(self, connection: Connection, response: Response | None) -> None:
        ask, again = self._under_way.pop(connection)
        if response is None:
            # A server that closes what was idle just as we send has not read the request.
            if connection.used and not connection.began and not again and not self._closing:
                self._place(ask, True)
                return
            text = "the connection ended before the answer was whole"
            self.settled(ask, time.monotonic(), LostError(UNREACHABLE, text))
            return
        self._released(connection)
        self.settled(ask, response.at_s, error_of(response) if response.status != 200 else lambda: read(response))

    def _ended(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._go_on()

    def sweep(self, now_s: float) -> None:
        late_s = now_s - self._options.timeout_s
        lost = LostError(TIMED_OUT, f"no answer in {self._options.timeout_s:g} s")
        for connection in [one for one, (ask, _) in self._under_way.items() if ask.sent_s < late_s]:
            ask, _ = self._under_way.pop(connection)
            connection.busy = False
            connection.abort()
            self.settled(ask, now_s, lost)
        while self._waiting and self._waiting[0][0].sent_s < late_s:
            self.settled(self._waiting.popleft()[0], now_s, lost)

    async def close(self) -> None:
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._open):
            connection.abort()
        await asyncio.sleep(0)


def read(response: Response) -> Reply:
    """The answer in a response.

    Raises:
        LostError: it is none.
    """
    length = response.headers.get(b"inference-header-content-length")
    return read_answer(response.body, int(length) if length is not None and length.isdigit() else None)


def error_of(response: Response) -> LostError:
    """What a response that is no answer means."""
    status = response.status
    text = response.body[:LONGEST].decode(errors="replace").strip()
    try:
        said = json.loads(response.body)
        text = str(said.get("error") or said.get("detail") or text)[:LONGEST]
    except (ValueError, AttributeError):
        pass
    kind = REFUSED if status in NO_ROOM else REJECTED if 400 <= status < 500 else FAILED
    return LostError(kind, f"{status} {' '.join(text.split())}".strip(), status)


def reason_of(error: BaseException) -> str:
    """Why there is no connection, in a few words."""
    if isinstance(error, TimeoutError):
        return "no connection in time"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
