"""Certificates that tests make for themselves, as an operator would: with openssl."""

import subprocess
from pathlib import Path


def write_certificate(folder: Path, name: str = "server") -> tuple[str, str]:
    """A self-signed certificate of this machine's loopback and its key; their paths."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-out", str(certificate), "-keyout", str(key),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return str(certificate), str(key)
