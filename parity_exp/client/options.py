"""How a load is sent to a server."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parity_exp.checks import SettingError
from parity_exp.errors import UserError


@dataclass(frozen=True)
class Options:
    """What a client can be told.

    Attributes:
        batch: queries in a request. Those of a request arrive together, with the first of them.
        deadline_ms: the request parameter of that name, which servers of this package heed; None: not sent.
        exact: the request parameter of that name: never a reconstruction.
        timeout_s: a request without an answer after so long is given up.
        connections: of REST at a time at most; what finds none free waits here, and that counts.
        binary: tensors go as bytes behind the JSON; None: where the server says that it takes them.
        input: name of the input to send; None: the one that fits, or all that are numbers.
        output: name of the output that is the prediction; None: the first of numbers.
        shape: of one query, for servers that do not say it.
        datatype: of the input, likewise.
        token_file: holds the bearer token to send; None: none.
        tls_ca: certificates to trust, in PEM; None: the system's.
        tls_insecure: trust whatever certificate comes; for REST.
    """

    batch: int = 1
    deadline_ms: float | None = None
    exact: bool = False
    timeout_s: float = 30.0
    connections: int = 256
    binary: bool | None = None
    input: str | None = None
    output: str | None = None
    shape: Sequence[int] | None = None
    datatype: str | None = None
    token_file: str | None = None
    tls_ca: str | None = None
    tls_insecure: bool = False

    @property
    def parameters(self) -> dict[str, float | bool]:
        """Parameters of every request."""
        deadline = {} if self.deadline_ms is None else {"deadline_ms": float(self.deadline_ms)}
        return {**deadline, **({"exact": True} if self.exact else {})}

    def token(self) -> str | None:
        """The bearer token.

        Raises:
            UserError: there is none in the file.
        """
        if self.token_file is None:
            return None
        try:
            token = Path(self.token_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a text of ASCII characters"
            raise UserError(f"client.token_file={self.token_file}: {reason}; give a file with the token") from None
        if not token or not token.isprintable():
            raise UserError(f"client.token_file={self.token_file}: no token of one line in it")
        return token

    def certificates(self) -> bytes | None:
        """Certificates to trust, in PEM.

        Raises:
            UserError: there is no such file.
        """
        if self.tls_ca is None:
            return None
        try:
            return Path(self.tls_ca).read_bytes()
        except OSError as error:
            raise UserError(f"client.tls_ca={self.tls_ca}: {error.strerror}; give the path of a file") from None

    def tls(self) -> ssl.SSLContext:
        """What REST over TLS trusts.

        Raises:
            UserError: a file that holds no certificates.
        """
        content = self.certificates()
        try:
            context = ssl.create_default_context(cadata=None if content is None else content.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise UserError(f"client.tls_ca={self.tls_ca}: no certificates in PEM in it") from None
        if self.tls_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def check(self, grpc: bool) -> None:
        """Refuse what cannot be together.

        Raises:
            SettingError: with what to do.
            UserError: a file that is not there.
        """
        if self.tls_insecure and self.tls_ca is not None:
            raise SettingError("{tls_insecure}=true: it trusts any certificate; leave out {tls_ca} or this")
        if self.tls_insecure and grpc:
            raise SettingError("{tls_insecure}=true: gRPC cannot do that; give {tls_ca}")
        self.token()
        self.certificates()
