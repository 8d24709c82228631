"""``endpoint`` from the command line: runs as versions of a model, and what is refused before anything starts."""

import io
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image

from tests.commands.processes import kill, session, wait_until
from tests.conftest import Run, Trained, run_dirs, start
from tests.endpoint.certificates import write_certificate
from tests.warm_start import Job

QUIET = ("tracker=none", "redundancy=adaptive", "pool.instances=2", "port=0", "grpc_port=0")


@contextmanager
def served(folder: Path, *overrides: str, status: int = 0) -> Iterator[tuple[str, str, Job]]:
    """An endpoint in a process of its own: addresses of HTTP and gRPC, and the job; in the end nothing is left."""
    chosen = {word.partition("=")[0] for word in overrides}
    quiet = [word for word in QUIET if word.partition("=")[0] not in chosen]
    job = start(folder, "endpoint", *quiet, *overrides)
    shown = folder / "shown"
    try:
        wait_until(lambda: "grpc://" in shown.read_text() or job.poll() is not None, 120)
        found = dict(re.findall(r"listening: (\w+)://(\S+)", shown.read_text()))
        assert found, shown.read_text()
        yield found.get("http") or found["https"], found["grpc"], job
        if status == 0 and job.poll() is None:
            job.send_signal(signal.SIGTERM)
        assert job.wait(60) == status, shown.read_text()
        wait_until(lambda: not session(job.pid))
    finally:
        for process in session(job.pid):
            kill(process)


def query() -> np.ndarray:
    return np.random.default_rng(0).random((1, 1, 16, 16), dtype=np.float32)


@pytest.mark.slow
def test_runs_are_versions_and_pictures_are_prepared_by_their_data_set(folder: Path, trained: Trained) -> None:
    older, newer = trained(), trained("base.seed=3")
    with served(folder, f"run={{1: {older}, 4: {newer}}}") as (http, grpc, _):
        outputs: dict[tuple[str, str], np.ndarray] = {}
        for name, protocol, address in (("http", tritonclient.http, http), ("grpc", tritonclient.grpc, grpc)):
            asks = protocol.InferenceServerClient(address)
            given = protocol.InferInput("input", [1, 1, 16, 16], "FP32")
            given.set_data_from_numpy(query())
            more = {"as_json": True} if name == "grpc" else {}
            assert asks.get_model_metadata("base", "1", **more)["versions"] == ["1", "4"]
            index = asks.get_model_repository_index(**more)
            found = index if name == "http" else index["models"]
            assert [(one["version"], one["state"]) for one in found] == [("1", "READY"), ("4", "READY")]
            for version in ("1", "4", ""):
                answer = asks.infer("base", [given], model_version=version)
                outputs[name, version] = answer.as_numpy("output")
                response = answer.get_response()
                told = response["model_version"] if name == "http" else response.model_version
                assert told == (version or "4")
            np.testing.assert_array_equal(outputs[name, ""], outputs[name, "4"])
            assert not np.allclose(outputs[name, "1"], outputs[name, "4"])
            picture = protocol.InferInput("image", [1], "BYTES")
            stream = io.BytesIO()
            Image.fromarray((query()[0, 0] * 255).round().astype(np.uint8)).save(stream, "PNG")
            picture.set_data_from_numpy(np.array([stream.getvalue()], dtype=object))
            same = asks.infer("base", [picture], model_version="1").as_numpy("output")
            np.testing.assert_allclose(same, outputs[name, "1"], atol=0.1)
        np.testing.assert_allclose(outputs["http", "4"], outputs["grpc", "4"], rtol=1e-5)
    made, of_older = sorted(run_dirs(folder, "endpoint"))
    assert of_older == made / "version-1"
    for place in (made, of_older):
        assert {"config.yaml", "metrics.json", "queries-adaptive.parquet"} <= {one.name for one in place.iterdir()}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("run={a: RUN}",), "version 'a' is no whole number above 0"),
        (("run={0: RUN}",), "version '0'"),
        (("run=[RUN,nowhere]",), "run=nowhere: not a run directory"),
        (("run={}",), "run={}: expected"),
        (("run=[]",), "run="),
        ((), "endpoint needs the run directory"),
        (("run=RUN", "redundancy=[none,parity]"), "an endpoint has one policy"),
        (("run=RUN", "endpoint.tls_cert=nowhere.pem"), "endpoint.tls_key: TLS needs both"),
        (("run=RUN", "endpoint.tls_cert=nowhere.pem", "endpoint.tls_key=CERT"), "nowhere.pem: No such"),
        (("run=RUN", "endpoint.tls_cert=CERT", "endpoint.tls_key=CERT"), "give a certificate in PEM"),
        (("run=RUN", "endpoint.token_file=nowhere"), "endpoint.token_file=nowhere: No such file"),
        (("run=RUN", "endpoint.queue=0"), "endpoint.queue=0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(
    run: Run, folder: Path, trained: Trained, capfd: pytest.CaptureFixture[str], overrides: tuple[str, ...], words: str
) -> None:
    certificate, _ = write_certificate(folder)
    given = [one.replace("RUN", str(trained())).replace("CERT", certificate) for one in overrides]
    capfd.readouterr()
    assert (
        run("endpoint", "tracker=none", *(() if "redundancy" in str(given) else ("redundancy=adaptive",)), *given) == 2
    )
    error = capfd.readouterr().err
    assert words in error and "Traceback" not in error
    assert not run_dirs(folder, "endpoint")


def test_other_commands_take_one_run(
    run: Run, folder: Path, trained: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("serve", f"run=[{trained()},{trained()}]", "tracker=none") == 2
    assert "serve takes one run directory" in capfd.readouterr().err
