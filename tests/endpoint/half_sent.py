"""Requests that begin and do not go on, as clients send them that hang, over HTTP and gRPC."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from parity_exp.endpoint.transports.messages import SERVICE
from tests.endpoint.live import Live

DATA, HEADERS, SETTINGS = 0, 1, 4
END_HEADERS = 4


def _frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def _header(name: str, value: str) -> bytes:
    """A literal one of HPACK, which no table remembers."""
    return b"\0" + b"".join(bytes([len(word)]) + word.encode() for word in (name, value))


def grpc_call(said_length: int, sent: bytes, method: str = "ModelInfer") -> bytes:
    """A connection of gRPC with one call, whose message is said to be so long, and the part of it that is sent."""
    headers = {
        ":method": "POST", ":scheme": "http", ":path": f"/{SERVICE}/{method}", ":authority": "localhost",
        "te": "trailers", "content-type": "application/grpc",
    }  # fmt: skip
    start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0)
    start += _frame(HEADERS, END_HEADERS, 1, b"".join(_header(*one) for one in headers.items()))
    return start + _frame(DATA, 0, 1, b"\0" + struct.pack(">I", said_length) + sent)


def http_call(said_length: int, sent: bytes) -> bytes:
    """The same over HTTP."""
    head = f"POST /v2/models/base/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {said_length}\r\n\r\n"
    return head.encode() + sent


@contextmanager
def sent_to(endpoint: Live, said: bytes) -> Iterator[socket.socket]:
    """A connection that has said so much, and says no more until the block ends."""
    port = endpoint.server.grpc_port if said.startswith(b"PRI") else endpoint.server.port
    assert port is not None
    with socket.create_connection((endpoint.server.hub.settings.host, port), timeout=60) as connection:
        connection.sendall(said)
        yield connection
