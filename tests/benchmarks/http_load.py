"""So many clients that ask one question over HTTP again and again: for benchmarks of servers, whoever made them.

It runs in a process of its own, knows one request and no more of HTTP than how long an answer is, and so it costs a
small part of what servers cost. Run as ``python http_load.py '{"port": 8000, ...}'``, with the keys of :class:`Asking`
but for ``body``, which comes by the standard input; what is found goes to the standard output as JSON.
"""

import asyncio
import json
import math
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

CHUNKED, LAST_CHUNK = -1, b"0\r\n\r\n"


@dataclass
class Asking:
    """What is asked, and what came of it.

    Attributes:
        port: of the server, at the loopback.
        path: of the URL.
        headers: of the request.
        clients: that ask at a time, each on its own connection.
        seconds: for how long.
        pause_s: between an answer and the client's next question.
        body: of the request.
        latencies_ms: of all answers, from the question.
        bad: answers that are not 200, and connections that broke.
    """

    port: int
    path: str
    headers: dict[str, str]
    clients: int
    seconds: float
    pause_s: float
    body: bytes
    latencies_ms: list[float] = field(default_factory=list)
    bad: int = 0

    @property
    def request(self) -> bytes:
        head = {"host": f"127.0.0.1:{self.port}", "content-length": str(len(self.body)), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"POST {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + self.body


class Client(asyncio.Protocol):
    """Asks, and asks again when the answer is whole."""

    def __init__(self, asking: Asking, loop: asyncio.AbstractEventLoop) -> None:
        self.asking, self.loop, self.request = asking, loop, asking.request
        self.found = b""
        self.whole = 0  # so many bytes the answer has, or CHUNKED; 0: its head is not whole

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.since_s = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.found += data
        if self.whole == 0 and (end := self.found.find(b"\r\n\r\n")) >= 0:
            head = self.found[:end].lower()
            if not head.startswith(b"http/1.1 200"):
                self.asking.bad += 1
            at = head.find(b"content-length:")
            self.whole = CHUNKED if at < 0 else end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if self.whole == len(self.found) or (self.whole == CHUNKED and self.found.endswith(LAST_CHUNK)):
            self.asking.latencies_ms.append((time.perf_counter() - self.since_s) * 1e3)
            self.found, self.whole = b"", 0
            if self.asking.pause_s:
                self.loop.call_later(self.asking.pause_s, self.ask)
            else:
                self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self.asking.bad += 1


async def ask(asking: Asking) -> float:
    """Ask for as long as that, and until there is an answer; returns the answers a second."""
    loop = asyncio.get_running_loop()
    before_s = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: Client(asking, loop), "127.0.0.1", asking.port))[0]
        for _ in range(asking.clients)
    ]
    await asyncio.sleep(asking.seconds)
    while not asking.latencies_ms and not asking.bad:  # on a machine that has no time
        await asyncio.sleep(asking.seconds)
    answers, spent_s, bad = len(asking.latencies_ms), time.perf_counter() - before_s, asking.bad
    for client in clients:
        client.abort()
    await asyncio.sleep(0)
    asking.bad = bad
    return answers / spent_s


def main() -> None:
    asking = Asking(**json.loads(sys.argv[1]), body=sys.stdin.buffer.read())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rate = runner.run(ask(asking))
    latencies_ms = sorted(asking.latencies_ms)

    def percentile(share: float) -> float:
        return latencies_ms[int(share * (len(latencies_ms) - 1))] if latencies_ms else math.nan

    found = {"rate": rate, "bad": asking.bad, "p50_ms": percentile(0.5), "p99_ms": percentile(0.99)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
