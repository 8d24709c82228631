"""Who may ask, and who may listen: TLS and a bearer token, through all clients of tritonclient."""

import asyncio
import ssl
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from parity_exp.endpoint.settings import Settings
from parity_exp.errors import UserError
from tests.endpoint.certificates import write_certificate
from tests.endpoint.live import Live, live
from tests.endpoint.test_clients import expected, queries, tensor

BEARER = {"authorization": "Bearer secret"}
WRONG: list[dict[str, str] | None] = [None, {"authorization": "Bearer other"}, {"authorization": "secret"}]
VALUES = queries(2)


def http_clients(endpoint: Live, certificate: str | None) -> list[Any]:
    """The client of threads, and that of asyncio inside a function without arguments."""
    if certificate is None:
        more: dict[str, Any] = {}
        aio = more
    else:
        options = {"ca_certs": certificate}
        more = {"ssl": True, "ssl_options": options}
        aio = {"ssl": True, "ssl_context": ssl.create_default_context(cafile=certificate)}
    address = endpoint.http
    return [
        tritonclient.http.InferenceServerClient(address, **more),
        lambda: tritonclient.http.aio.InferenceServerClient(address, **aio),
    ]


def grpc_clients(endpoint: Live, certificate: str | None) -> list[Any]:
    more = {} if certificate is None else {"ssl": True, "root_certificates": certificate}
    address = endpoint.grpc
    return [
        tritonclient.grpc.InferenceServerClient(address, **more),
        lambda: tritonclient.grpc.aio.InferenceServerClient(address, **more),
    ]


def ask(client: Any, protocol: Any, headers: dict[str, str] | None) -> np.ndarray:
    """What a client gets, whichever of the four it is."""
    given: dict[str, Any] = {"inputs": [tensor(protocol, VALUES)], "headers": headers and dict(headers)}

    async def asking() -> np.ndarray:
        async with client() as asks:
            return np.asarray((await asks.infer("base", **given)).as_numpy("output"))

    if hasattr(client, "infer"):
        return np.asarray(client.infer("base", **given).as_numpy("output"))
    return asyncio.run(asking())


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.one_of_many
def test_all_four_clients_are_answered_with_the_token_and_none_without(tmp_path: Path, encrypted: bool) -> None:
    (tmp_path / "token").write_text("secret\n")
    given: dict[str, Any] = {"token_file": str(tmp_path / "token")}
    certificate = None
    if encrypted:
        certificate, key = write_certificate(tmp_path)
        given |= {"tls_cert": certificate, "tls_key": key}
    with live(settings=given) as made:
        clients = [(tritonclient.http, one) for one in http_clients(made, certificate)]
        clients += [(tritonclient.grpc, one) for one in grpc_clients(made, certificate)]
        for protocol, client in clients:
            np.testing.assert_allclose(ask(client, protocol, BEARER), expected(VALUES), rtol=1e-5)
            for headers in WRONG:
                with pytest.raises(InferenceServerException, match="token"):
                    ask(client, protocol, headers)
        stream_with_and_without_token(grpc_clients(made, certificate)[0])


def stream_with_and_without_token(client: Any) -> None:
    for headers, failed in ((BEARER, False), (None, True)):
        found: list[Any] = []
        client.start_stream(lambda result, error, found=found: found.append((result, error)), headers=headers)
        with suppress(InferenceServerException):  # the stream may have been refused by then
            client.async_stream_infer("base", [tensor(tritonclient.grpc, VALUES)])
        client.stop_stream()
        assert found and all((error is not None) == failed for _, error in found)


def test_who_does_not_know_the_certificate_or_speaks_in_the_clear_gets_nothing(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    other, _ = write_certificate(tmp_path, "other")
    with live(settings={"tls_cert": certificate, "tls_key": key}) as made:
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://{made.http}/v2", timeout=30)
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            context = ssl.create_default_context(cafile=other)
            urllib.request.urlopen(f"https://{made.http}/v2", timeout=30, context=context)
        with pytest.raises(InferenceServerException):
            grpc_clients(made, other)[0].is_server_live(client_timeout=5)
        with pytest.raises(InferenceServerException):
            grpc_clients(made, None)[0].is_server_live(client_timeout=5)
        context = ssl.create_default_context(cafile=certificate)
        with urllib.request.urlopen(f"https://{made.http}/v2", timeout=30, context=context) as answer:
            assert answer.status == 200


def files(folder: Path, kind: str) -> tuple[str | None, str | None]:
    """A certificate and a key with something wrong."""
    certificate, key = write_certificate(folder)
    if kind == "mismatch":
        return certificate, write_certificate(folder, "other")[1]
    if kind == "no key":
        return certificate, None
    if kind == "missing":
        return str(folder / "nowhere.pem"), key
    if kind == "folder":
        return str(folder), key
    if kind == "swapped":
        return key, certificate
    if kind == "password":
        locked = folder / "locked.key"
        command = ["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:word", "-out", str(locked)]
        subprocess.run(command, check=True, capture_output=True)
        return certificate, str(locked)
    (folder / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    return str(folder / "damaged.pem"), key


@pytest.mark.parametrize("kind", ["mismatch", "no key", "missing", "folder", "swapped", "password", "damaged"])
def test_files_that_make_no_certificate_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    certificate, key = files(tmp_path, kind)
    with pytest.raises(UserError, match=r"^endpoint\.tls_(cert|key)") as refused:
        Settings(tls_cert=certificate, tls_key=key).certificate()
    assert ("\n" not in str(refused.value) and "give" in str(refused.value)) or kind == "no key"
