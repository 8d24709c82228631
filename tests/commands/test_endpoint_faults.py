"""What happens to a live endpoint when somebody kills or stops its processes from outside."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.commands.processes import instances, kill, session
from tests.commands.test_endpoint import served
from tests.conftest import Trained

EXAMPLE = Path(__file__).parents[2] / "examples" / "endpoint_under_fire.py"

STEADY = ("pool.instances=4", "pool.max_failures=100", "pool.service_time_ms=10", "pool.hang_timeout_s=1")


@pytest.mark.slow
def test_instances_are_killed_and_stopped_and_every_request_is_answered_once(folder: Path, trained: Trained) -> None:
    """The example that the guide names, with fewer requests: killed and stopped in turn, so both have been."""
    done = subprocess.run(
        [sys.executable, EXAMPLE, trained(), "--requests", "2000", "--rate", "200", *STEADY],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLE.parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
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
