"""What an endpoint can be told: where it listens, whom it lets in, and how much it takes."""

import ssl
from dataclasses import dataclass
from math import inf
from pathlib import Path

from parity_exp.errors import UserError

MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """How an endpoint behaves; every limit is there so that nobody can make it grow or wait without one.

    Attributes:
        port: of REST; 0 takes a free one.
        grpc_port: of gRPC; None: there is no gRPC.
        host: address to listen at; only this machine reaches the loopback.
        model: the name that clients ask for.
        queue: queries without an answer at most; more are refused.
        batch: queries in one request at most.
        body_mb: of a request's body at most, after decompression as well.
        in_flight_mb: of all requests that are being read or answered at most; more are refused.
        deadline_ms: of requests that bring none; None: they wait.
        drain_s: how long an ending server waits for what it has taken.
        client_timeout_s: a client that neither sends nor reads for so long is let go.
        connections: at a time at most.
        record: so many of the latest queries are kept for the run directory.
        straggler_s: stragglers are drawn for so long.
        token_file: holds the bearer token that requests must bring; None: none.
        tls_cert: certificate chain in PEM; None: no TLS.
        tls_key: its private key.
    """

    port: int = 8000
    grpc_port: int | None = 8001
    host: str = "127.0.0.1"
    model: str = "base"
    queue: int = 1000
    batch: int = 64
    body_mb: float = 16.0
    in_flight_mb: float = 1024.0
    deadline_ms: float | None = None
    drain_s: float = 30.0
    client_timeout_s: float = 30.0
    connections: int = 1000
    record: int = 50_000
    straggler_s: float = 3600.0
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    @property
    def body_bytes(self) -> int:
        """The longest body."""
        return int(self.body_mb * MIB)

    @property
    def in_flight_bytes(self) -> int:
        """Of all bodies together; one of the longest has room in any case."""
        return max(int(self.in_flight_mb * MIB), self.body_bytes)

    @property
    def deadline_s(self) -> float:
        """Of requests that bring none; infinity: they wait."""
        return inf if self.deadline_ms is None else self.deadline_ms / 1e3

    @property
    def keep(self) -> int:
        """Queries that the recorder keeps: never fewer than may wait."""
        return max(self.record, 4 * self.queue)

    def token(self) -> bytes | None:
        """The bearer token.

        Raises:
            UserError: there is none in the file.
        """
        if self.token_file is None:
            return None
        token = _read("token_file", self.token_file).strip()
        if not token:
            raise UserError(f"endpoint.token_file={self.token_file}: it is empty; put the token into it")
        return token

    def certificate(self) -> tuple[bytes, bytes] | None:
        """Certificate chain and private key.

        Raises:
            UserError: one of them is missing or damaged, or they do not belong together.
        """
        if self.tls_cert is None and self.tls_key is None:
            return None
        if self.tls_cert is None or self.tls_key is None:
            lacking = "tls_cert" if self.tls_cert is None else "tls_key"
            raise UserError(f"endpoint.{lacking}: TLS needs both endpoint.tls_cert and endpoint.tls_key")
        pair = _read("tls_cert", self.tls_cert), _read("tls_key", self.tls_key)
        try:
            # Without a word for it, a key that has one would be asked for at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.tls_cert, self.tls_key, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
            raise UserError(
                f"endpoint.tls_cert={self.tls_cert}, endpoint.tls_key={self.tls_key}: {reason}; give a certificate in "
                "PEM and the private key that belongs to it, without a password"
            ) from None
        return pair


def _read(key: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"endpoint.{key}={path}: {error.strerror}; give the path of a file") from None
