"""Inference over HTTP as bytes on a connection: in pieces, one behind the other, from clients that read late or go."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.endpoint.live import SHAPE, Live, live, until
from tests.endpoint.sleepy_pool import SleepyPool
from tests.endpoint.test_limits import PATH

PATIENCE_S = 60

_INPUT = {"name": "input", "datatype": "FP32", "shape": [64, *SHAPE], "data": [1.0] * 1024}
LONG = json.dumps({"inputs": [_INPUT], "outputs": [{"name": "output"}] * 64}).encode()
"""A request with an answer of some 80 kB."""


def request(number: float, more: str = "", path: str = PATH, http: str = "1.1", body: bytes | None = None) -> bytes:
    """A request whose answer begins with 16 times the number."""
    if body is None:
        given = {"name": "input", "datatype": "FP32", "shape": [1, *SHAPE], "data": [number] * 16}
        body = json.dumps({"inputs": [given]}).encode()
    return f"POST {path} HTTP/{http}\r\nhost: x\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


@contextmanager
def connected(endpoint: Live) -> Iterator[socket.socket]:
    host = endpoint.server.hub.settings.host
    with socket.create_connection((host, endpoint.server.port), timeout=PATIENCE_S) as made:
        yield made


def answers(connection: socket.socket, count: int) -> list[tuple[int, bytes, bytes]]:
    """So many answers: status, head and body."""
    found: list[tuple[int, bytes, bytes]] = []
    with connection.makefile("rb") as lines:
        for _ in range(count):
            head = b""
            while (line := lines.readline()) not in (b"\r\n", b""):
                head += line
            assert head, "the connection has been closed"
            length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
            found.append((int(head.split()[1]), head.lower(), lines.read(int(length.split(b":")[1]))))
    return found


def sums(found: list[tuple[int, bytes, bytes]]) -> list[float]:
    return [json.loads(body)["outputs"][0]["data"][0] for _, _, body in found]


def test_requests_behind_each_other_are_answered_in_their_order() -> None:
    with live() as made, connected(made) as connection:
        others = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
        unknown = request(1, path="/v2/models/none/infer")
        connection.sendall(request(1) + others + request(2) + unknown + others + request(3) + request(4))
        found = answers(connection, 7)
        assert [status for status, _, _ in found] == [200, 200, 200, 404, 200, 200, 200]
        assert sums([found[place] for place in (0, 2, 5, 6)]) == [16, 32, 48, 64]


def test_a_request_may_come_in_pieces_of_one_byte() -> None:
    with live() as made, connected(made) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for byte in request(3):
                connection.send(bytes([byte]))
            assert sums(answers(connection, 1)) == [48]


def test_chunks_make_a_body() -> None:
    head, _, body = request(2).partition(b"\r\n\r\n")
    head = head.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:8], body[8:]))
    with live() as made, connected(made) as connection:
        connection.sendall(head + b"\r\n\r\n" + chunks + b"0\r\n\r\n")
        assert sums(answers(connection, 1)) == [32]


def test_who_waits_for_leave_to_send_the_body_gets_it() -> None:
    with live() as made, connected(made) as connection:
        head, _, body = request(2, "expect: 100-continue\r\n").partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert sums(answers(connection, 1)) == [32]


@pytest.mark.parametrize(("more", "http"), [("connection: close\r\n", "1.1"), ("", "1.0")])
def test_who_wants_one_answer_finds_the_connection_closed(more: str, http: str) -> None:
    with live() as made, connected(made) as connection:
        connection.sendall(request(2, more, http=http))
        ((status, head, _),) = answers(connection, 1)
        assert status == 200 and b"connection: close" in head
        assert connection.recv(1) == b""


def test_after_a_refusal_the_connection_goes_on() -> None:
    with live() as made, connected(made) as connection:
        for refused, status in ((request(0, path="/v2/models/none/infer"), 404), (request(0, body=b"{"), 400)):
            connection.sendall(refused)
            assert [one for one, _, _ in answers(connection, 1)] == [status]
        connection.sendall(request(2))
        assert sums(answers(connection, 1)) == [32]


def test_a_url_may_have_a_question_and_a_host() -> None:
    with live() as made, connected(made) as connection:
        for path in (f"{PATH}?of=mine", f"http://x{PATH}", "/v2/models/b%61se/versions/1/infer"):
            connection.sendall(request(1, path=path))
            assert sums(answers(connection, 1)) == [16]


def test_inference_is_a_post_without_an_upgrade() -> None:
    with live() as made:
        for sent, status in (
            (b"GET " + PATH.encode() + b" HTTP/1.1\r\nhost: x\r\n\r\n", 405),
            (request(1, "connection: upgrade\r\nupgrade: h2c\r\n"), 400),
        ):
            with connected(made) as connection:
                connection.sendall(sent)
                assert [one for one, _, _ in answers(connection, 1)] == [status]


def test_queries_of_a_client_that_has_gone_are_given_up() -> None:
    pool = SleepyPool()
    with live(pool, instances=1) as made:
        hub = made.server.hub
        with connected(made) as connection:
            connection.sendall(request(1))
            until(lambda: hub.waiting == 1)
            (asked,) = hub._under_way
        until(lambda: asked.gone)
        pool.asleep = False
        until(lambda: hub.waiting == 0)
        with connected(made) as connection:
            connection.sendall(request(2))
            assert sums(answers(connection, 1)) == [32]


def test_who_does_not_read_is_not_answered_further_and_then_let_go() -> None:
    with live(settings={"client_timeout_s": 0.5}) as made:
        with connected(made) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            many = request(1, body=LONG) * 100
            with pytest.raises(OSError):
                while True:  # until it is cut off
                    connection.sendall(many)
        until(lambda: made.server.hub.waiting == 0)
        with connected(made) as connection:
            connection.sendall(request(2))
            assert sums(answers(connection, 1)) == [32]


def test_too_many_connections_are_told_to_come_back() -> None:
    with live(settings={"connections": 2}) as made, connected(made), connected(made) as connection:
        connection.sendall(request(1))
        ((status, head, _),) = answers(connection, 1)
        assert status == 503 and b"retry-after: 1" in head
