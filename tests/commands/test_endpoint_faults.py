"""What happens to a live endpoint when somebody kills or stops its processes from outside."""

import http.client
import json
import re
import signal
import socket
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.commands.processes import instances, kill, session
from tests.commands.test_endpoint import served
from tests.conftest import Trained
from tests.endpoint.test_hostile_grpc import Input, Request, call
from tests.examples.scripts import run_script

STEADY = ("pool.instances=4", "pool.max_failures=100", "pool.service_time_ms=10", "pool.hang_timeout_s=1")


@pytest.mark.slow
def test_instances_are_killed_and_stopped_and_every_request_is_answered_once(folder: Path, trained: Trained) -> None:
    """The example that the guide names, with fewer requests: killed and stopped in turn, so both have been."""
    done = run_script("endpoint_under_fire.py", folder, trained(), "--requests", "2000", "--rate", "200", *STEADY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost: 0, answered twice: 0, wrong: 0, errors: []" in done.stdout
    assert re.search(r"'SIGKILL': [1-9].*'SIGSTOP': [1-9]", done.stdout), done.stdout
    (report,) = re.findall(r"report: (.*)", done.stdout)
    assert "p99.9" in Path(report).read_text()
    assert not done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ("redundancy=autopilot", "straggler=[contention]", "straggler.contention.process.size=8"),
        ("redundancy=adaptive", "pool.shared_memory_kb=0"),
    ],
)
def test_nothing_is_left_of_a_server_that_is_killed_and_the_next_one_takes_its_place(
    folder: Path, trained: Trained, more: tuple[str, ...]
) -> None:
    """Instances (one is stopped), helpers of stragglers, the policy's twin and the fork server end by themselves."""
    with served(folder, f"run={trained()}", *more, status=-signal.SIGKILL) as (address, _, job):
        kill(instances(job.pid)["instance-1"], signal.SIGSTOP)
        assert len(session(job.pid)) > len(instances(job.pid)) > 1
        assert not [line for line in maps(job.pid) if "/dev/shm/" in line and "(deleted)" not in line]
        kill(job.pid)
    port = address.rpartition(":")[2]
    with served(folder, f"run={trained()}", *more, f"port={port}") as (address, _, _):
        assert address.endswith(f":{port}")
        with urllib.request.urlopen(f"http://{address}/v2/health/ready", timeout=60) as answer:
            assert answer.status == 200


def maps(pid: int) -> list[str]:
    """What the processes of a job have mapped; memory that has no name in the file system goes with them."""
    return [line for other in session(pid) for line in Path(f"/proc/{other}/maps").read_text().splitlines()]


def resident_mb(pid: int) -> float:
    """Memory of a process that is not shared with others; torch's libraries come and go."""
    found = re.findall(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[0]) / 1024


def ask_all_kinds(http_address: str, grpc_address: str, rounds: int) -> None:
    """Ten requests a round: good ones and bad ones over both protocols, and a client that leaves."""
    host, _, port = http_address.rpartition(":")
    values = np.zeros((1, 1, 16, 16), np.float32)
    given = {"name": "input", "datatype": "FP32", "shape": [1, 1, 16, 16], "data": values.ravel().tolist()}
    listed = {"inputs": [given]}
    good = json.dumps(listed).encode()
    bodies = [good, good, b"no JSON", good[:-9], json.dumps(listed | {"parameters": {"exact": 7}}).encode(), good * 20]
    shaped = Input(name="input", datatype="FP32", shape=[1, 1, 16, 16])
    request = Request(model_name="base", inputs=[shaped], raw_input_contents=[values.tobytes()])
    messages = [request.SerializeToString(), b"\xff" * 99, Request(model_name="other").SerializeToString()]
    path = "/v2/models/base/infer"
    connection = http.client.HTTPConnection(http_address, timeout=60)
    with grpc.insecure_channel(grpc_address) as channel:
        for number in range(rounds):
            for body in bodies:
                connection.request("POST", path, body)
                answer = connection.getresponse()
                answer.read()
                assert (answer.status == 200) == (body is good)
            statuses = [call(channel, "ModelInfer", one)[0] for one in messages]
            assert [one is grpc.StatusCode.OK for one in statuses] == [True, False, False]
            with socket.create_connection((host, int(port)), timeout=60) as leaving:
                head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(good)}\r\n\r\n".encode()
                leaving.sendall(head + good[: None if number % 2 else 99])
    connection.close()


@pytest.mark.slow
def test_memory_stays_where_it_is(folder: Path, trained: Trained) -> None:
    few = ("endpoint.record=500", "endpoint.queue=100", "pool.max_failures=100")
    with served(folder, f"run={trained()}", *few) as (http_address, grpc_address, job):
        ask_all_kinds(http_address, grpc_address, 150)  # what is kept of the latest queries is full by then
        before_mb = resident_mb(job.pid)
        ask_all_kinds(http_address, grpc_address, 600)
        assert resident_mb(job.pid) - before_mb < 30


@pytest.mark.slow
def test_clients_of_an_endpoint_are_measured_beside_serve(folder: Path, trained: Trained) -> None:
    """The example that the guide names: a load that is played, and the same one from clients."""
    words = ["load.rate_qps=50", "load.queries=200", "load.warmup=20", "straggler=shuffle", "pool.instances=2"]
    done = run_script("endpoint_beside_serve.py", folder, trained(), *words, "tracker=none")
    assert done.returncode == 0, done.stdout + done.stderr
    head, *rows, lost = done.stdout.splitlines()
    assert head.split()[:4] == ["ms", "serve", "endpoint", "clients"]
    assert [row.split()[0] for row in rows] == ["p50", "p99", "p99.9"]
    assert all(float(number) > 0 for row in rows for number in row.split()[1:])
    assert lost.split() == ["lost", "0", "0", "0"]
