"""What only a pool on a Ray cluster has to do: several machines, one copy of a checkpoint, processes left nowhere."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from parity_exp.checks import SettingError
from parity_exp.disturbances.helpers import Helper, Work
from parity_exp.disturbances.timeline import Timeline
from parity_exp.disturbances.trace import Disturbance
from parity_exp.errors import UserError
from parity_exp.models.checkpoint import load_weights, save_weights
from parity_exp.process import ray_cluster as local_cluster
from parity_exp.serving.pool import Down, Finished, ServedModel, Up
from parity_exp.serving.pools import ray as ray_pool
from parity_exp.serving.pools.clock import Clock
from parity_exp.serving.pools.ray import RayPool
from tests.child_signals import heard_by_default
from tests.commands.processes import session, wait_until
from tests.serving.pool_driver import answer, has
from tests.serving.small_models import OBEDIENT

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster


def linear(path: str, content: bytes | None = None) -> nn.Module:
    network = nn.Linear(2, 1)
    load_weights(path, network, "checkpoint", content)
    return network


@dataclass(frozen=True)
class Diary(Helper):
    """Writes down when it works, where and by whom."""

    path: str

    def prepare(self, device: str, seed: int) -> Work:
        return _Writing(Path(self.path), device)


class _Writing(Work):
    def __init__(self, path: Path, device: str) -> None:
        self.path, self.device = path, device

    def piece(self, now_s: float) -> float:
        with self.path.open("a") as stream:
            print(now_s, self.device, os.getpid(), file=stream)
        return now_s + 0.01


@pytest.mark.parametrize(
    ("gpus", "each", "room"),
    [
        ([1], 0.25, 4),
        ([1], 0.3, 3),
        ([2], 0.1, 20),
        ([1], 1, 1),
        ([8, 4], 2, 6),
        ([3], 2, 1),
        ([0, 0], 0.5, 0),
        ([], 1, 0),
    ],
)
def test_gpus_have_room_for_as_many_instances_as_their_shares_fit(gpus: list[float], each: float, room: int) -> None:
    assert local_cluster.room_on_gpus(gpus, each) == room


def test_more_instances_than_this_machines_gpus_hold_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_cluster, "join", lambda *_: None)
    monkeypatch.setattr(local_cluster, "_started", [64])
    monkeypatch.setattr(ray_pool.ray, "nodes", lambda: [{"Alive": True, "Resources": {"GPU": 1.0}}])
    pool = RayPool(num_gpus=0.25)
    with pytest.raises(UserError, match=r"pool\.num_gpus=0\.25: 5 instances, .* 1 GPUs .* room for 4; take fewer"):
        pool.start({}, [[]] * 5, 1, [Timeline()] * 5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_gpus": 1.5}, "num_gpus=1.5: expected a fraction of one GPU"),
        ({"num_gpus": -1}, "num_gpus=-1"),
        ({"cuda_graphs": True}, "cuda_graphs=true: with num_gpus=0"),
        ({"precision": "int8"}, "precision=int8"),
    ],
)
def test_settings_of_gpus_that_cannot_be_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as refusal:
        RayPool(**options)
    assert words in str(refusal.value)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_checkpoints_go_through_the_object_store_once_and_helpers_run_beside_their_instance(
    ray_cluster: "Cluster", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "base.ckpt"
    network = nn.Linear(2, 1)
    save_weights(path, "base", network.state_dict())
    put: list[Any] = []
    original = ray_pool.ray.put
    monkeypatch.setattr(ray_pool.ray, "put", lambda value: put.append(type(value)) or original(value))
    pool = RayPool(num_cpus=0.1)
    model = ServedModel(partial(linear, str(path)), (2,), (1,), str(path))
    disturber = None
    try:
        pool.start({"model": model}, [["model"]] * 2, 1, [Timeline()] * 2)
        assert [kind.__name__ for kind in put] == ["ndarray", "bytes", "bytes"]
        path.unlink()  # as on a machine that has never had it
        query = torch.rand(1, 2)
        for instance in (0, 1):
            assert torch.allclose(answer(pool, instance, "model", query), network(query), atol=1e-6)

        diary = tmp_path / "diary"
        rows = [Disturbance("contention", 1, 0.1, 0.3), Disturbance("kill", 0, 0.1, 0.1)]
        disturber = pool.disturber(rows, {"contention": Diary(str(diary)), "tenant": Diary("unused")}, 0)
        disturber.start()
        zero_s = time.monotonic()
        disturber.begin(zero_s)
        events = []
        while not has(Up)(events):
            disturber.tick(time.monotonic())
            events += pool.poll(0.05)
        assert events == [Down(0, "killed on demand"), Up(0)]
        assert torch.allclose(answer(pool, 0, "model", query), network(query), atol=1e-6)
        entries = [line.split() for line in diary.read_text().splitlines()]
        assert {device for _, device, _ in entries} == {"cpu"}
        assert all(zero_s + 0.1 <= float(at_s) <= zero_s + 0.35 for at_s, _, _ in entries)
        helper = int(entries[0][2])
        assert Path(f"/proc/{helper}").exists() and not disturber.failures
        disturber.close()
        wait_until(lambda: not Path(f"/proc/{helper}").exists(), 10)
    finally:
        if disturber is not None:
            disturber.close()
        pool.close()


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_callbacks_that_overtake_each_other_do_not_change_the_order_of_answers(ray_cluster: "Cluster") -> None:
    pool = RayPool(num_cpus=0.1, prefetch=3)
    try:
        pool.start({"model": OBEDIENT}, [["model"]], 1, [Timeline()])
        for task in range(3):
            assert pool.send(0, task, "model", torch.zeros(1, 2))
        wait_until(lambda: pool._arrived.qsize() >= 3, 10)
        for came in reversed([pool._arrived.get_nowait() for _ in range(pool._arrived.qsize())]):
            pool._arrived.put(came)
        events = []
        while len(events) < 3:
            events += pool.poll(0.1)
        assert [event.task for event in events if isinstance(event, Finished)] == [0, 1, 2]
        assert pool.send(0, 3, "model", torch.zeros(1, 2))
    finally:
        pool.close()


SCRIPT = textwrap.dedent("""
    import sys, torch
    from parity_exp.serving.pools.ray import RayPool
    from parity_exp.disturbances.timeline import Timeline
    from tests.serving.small_models import OBEDIENT

    pool = RayPool(address="local", start_timeout_s=400)
    try:
        pool.start({"model": OBEDIENT}, [["model"]], 1, [Timeline()])
        pool.send(0, 1, "model", torch.full((1, 2), 2.0))
        print("serving", flush=True)
        while True:
            pool.poll(1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        pool.close()
""")


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_of_a_local_cluster_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "serve_mine.py").write_text(SCRIPT)
    job = subprocess.Popen(
        [sys.executable, str(tmp_path / "serve_mine.py")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heard_by_default,
    )
    try:
        assert job.stdout is not None
        first = job.stdout.readline()
        assert first == "serving\n", first + job.communicate(timeout=60)[0]
        everybody = session(job.pid)
        assert len(everybody) > 3
        os.killpg(job.pid, signal.SIGINT)
        assert job.communicate(timeout=60) == ("", None)
        assert job.returncode == 130
        wait_until(lambda: not session(job.pid), 10)
    finally:
        job.kill()


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_gpus": -1}, "num_gpus=-1: expected a number, 0 or more"),
        ({"num_cpus": "all"}, "num_cpus=all: expected a number"),
        ({"strategy": "spread"}, "strategy=spread: expected SPREAD, PACK"),
        ({"address": "ray://head:10001"}, "address=ray://head:10001: instances cannot be reached"),
        ({"runtime_env": "conda"}, "runtime_env=conda: expected keys and values or None"),
        ({"prefetch": 0}, "prefetch=0"),
    ],
)
def test_a_setting_that_cannot_work_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as refusal:
        RayPool(**options)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_too_few_machines_are_told_in_one_line(ray_cluster: "Cluster") -> None:
    pool = RayPool(num_cpus=3, strategy="STRICT_SPREAD", start_timeout_s=1)
    identity = ServedModel(nn.Identity, (2,), (2,))
    with pytest.raises(UserError, match=r"no room for 2 instances of 3 CPU each .*start_timeout_s=1.*4 CPU$"):
        pool.start({"model": identity}, [["model"]] * 2, 1, [Timeline()] * 2)


# -- clocks -----------------------------------------------------------------------------------------------------------


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(1e-5, 1), st.floats(1e-5, 1)), min_size=1, max_size=20),
)
def test_another_clock_is_known_to_half_of_the_quickest_answer(
    ahead_s: float, ways_s: list[tuple[float, float]]
) -> None:
    clock, now_s = Clock(), 100.0
    for there_s, back_s in ways_s:
        clock.heard(now_s, now_s + there_s + ahead_s, now_s + there_s + back_s)
        now_s += 1.0
    quickest_s = min(there_s + back_s for there_s, back_s in ways_s)
    # What is forgotten in 20 answers of 2 % each allows one that is half slower again.
    assert abs(clock.ahead_s - ahead_s) <= quickest_s * 1.02**20 / 2 + 1e-6
