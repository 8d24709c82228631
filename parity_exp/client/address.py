"""Where a server is, from its URL."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from parity_exp.checks import SettingError

PORTS = {"http": 80, "https": 443, "grpc": 8001, "grpcs": 8001}
"""Of each scheme the port where a URL gives none."""

WANTED = "expected http://HOST:PORT, https://, grpc:// or grpcs://"


@dataclass(frozen=True)
class Address:
    """Where a server is.

    Attributes:
        url: as it was given.
        grpc: it is asked by gRPC; otherwise by REST.
        tls: over TLS.
        host: name or number.
        port: likewise.
        path: what comes before ``/v2``; empty mostly.
    """

    url: str
    grpc: bool
    tls: bool
    host: str
    port: int
    path: str = ""

    @classmethod
    def of(cls, url: str) -> "Address":
        """The address that a URL names.

        Raises:
            SettingError: it names none.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise SettingError(f"{{url}}={url}: {error}; {WANTED}") from None
        if parts.scheme not in PORTS or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise SettingError(f"{{url}}={url}: {WANTED}")
        path = parts.path.rstrip("/").removesuffix("/v2")
        grpc = parts.scheme.startswith("grpc")
        if grpc and path:
            raise SettingError(f"{{url}}={url}: gRPC has no path; {WANTED}")
        return cls(url, grpc, parts.scheme[-1] == "s", parts.hostname, port or PORTS[parts.scheme], path)

    @property
    def netloc(self) -> str:
        """Host and port, as they are written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
