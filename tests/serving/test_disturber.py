"""The disturber kills when it should, and its processes work while their rows last and end whatever happens."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from parity_exp.checks import SettingError
from parity_exp.disturbances.helpers import Burner, Helper, TenantService, Work
from parity_exp.disturbances.timeline import Timeline
from parity_exp.disturbances.trace import Disturbance
from parity_exp.errors import UserError
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.pool import Down, Event, ServedModel, Up
from parity_exp.serving.pools import LocalPool
from tests.child_signals import heard_by_default

LONG_S = 3600.0
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Diary(Helper):
    """Writes down when it works, and on which core it may."""

    folder: str

    def prepare(self, device: str, seed: int) -> Work:
        return _Writing(Path(self.folder, f"{device}-{seed}.txt"))


class _Writing(Work):
    def __init__(self, path: Path) -> None:
        self.path = path

    def piece(self, now_s: float) -> float:
        with self.path.open("a") as stream:
            print(now_s, *os.sched_getaffinity(0), file=stream)
        return now_s + 0.002


@dataclass(frozen=True)
class Refusal(Helper):
    """Works for no time at all, or not even that."""

    at_once: bool

    def prepare(self, device: str, seed: int) -> Work:
        if self.at_once:
            raise ValueError("the well is dry\nand so on")
        return _Failing()


class _Failing(Work):
    def piece(self, now_s: float) -> float:
        raise ValueError("the well ran dry")


def nobody(instance: int) -> None:
    raise AssertionError("nobody is to be killed")


@contextmanager
def disturbing(
    rows: list[Disturbance], helper: Helper, devices: tuple[str, ...] = ("cpu",), cores: tuple[int | None, ...] = ()
) -> Iterator[Disturber]:
    kinds = {"contention": helper, "tenant": helper}
    disturber = Disturber(rows, devices, cores or [None] * len(devices), nobody, kinds)
    try:
        disturber.start()
        yield disturber
    finally:
        disturber.close()


def wait_for(happened: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class TestKills:
    def test_are_done_when_they_are_due_and_ask_for_the_next_call(self) -> None:
        killed: list[int] = []
        rows = [Disturbance("kill", instance, time_s, time_s) for instance, time_s in [(1, 5), (0, 2), (1, 5), (7, 3)]]
        disturber = Disturber(
            [*rows, Disturbance("slow", 0, 0, 9, 2), Disturbance("nan", 0, 0, 9)],
            ["cpu"] * 2,
            [None] * 2,
            killed.append,
            {},
        )
        disturber.start()
        assert disturber.tick(1000) == math.inf
        disturber.begin(1000)
        assert (disturber.tick(1000), killed) == (1002, [])
        assert (disturber.tick(1001.9), killed) == (1002, [])
        assert (disturber.tick(1002), killed) == (1005, [0])
        assert (disturber.tick(1009), killed) == (math.inf, [0, 1, 1])
        assert disturber.tick(2000) == math.inf
        assert killed == [0, 1, 1]
        assert disturber.pids == []
        disturber.close()

    def test_rows_that_nobody_knows_what_to_do_for_are_refused(self) -> None:
        with pytest.raises(SettingError, match="contention"):
            Disturber([Disturbance("contention", 0, 0, 1)], ["cpu"], [None], nobody, {})


class TestProcesses:
    def test_work_while_their_rows_last_and_at_no_other_time(self, tmp_path: Path) -> None:
        rows = [
            Disturbance("contention", 0, 0.8, 1.2),
            Disturbance("contention", 0, 0.1, 0.4),
            Disturbance("contention", 0, 0.3, 0.5),
            Disturbance("contention", 1, 0.2, 0.6),
            Disturbance("contention", 5, 0.0, 0.2),
        ]
        with disturbing(rows, Diary(str(tmp_path)), ("cpu", "cuda:7")) as disturber:
            assert len(disturber.pids) == 2
            assert not list(tmp_path.iterdir())
            zero_s = time.monotonic()
            disturber.begin(zero_s)
            wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
            wait_for(lambda: time.monotonic() > zero_s + 1.3)
            disturber.tick(time.monotonic())
            assert disturber.failures == []
        for device, spans in [("cpu", [(0.1, 0.5), (0.8, 1.2)]), ("cuda:7", [(0.2, 0.6)])]:
            (path,) = tmp_path.glob(f"{device}-*")
            times_s = [float(line.split()[0]) - zero_s for line in path.read_text().splitlines()]
            for time_s in times_s:
                assert any(start_s - 1e-6 <= time_s < end_s + 1e-6 for start_s, end_s in spans)

    def test_stay_on_the_core_of_their_instance(self, tmp_path: Path) -> None:
        core = max(os.sched_getaffinity(0))
        with disturbing([Disturbance("tenant", 0, 0, LONG_S)], Diary(str(tmp_path)), cores=(core,)) as disturber:
            disturber.begin(time.monotonic())
            wait_for(lambda: any(path.read_text() for path in tmp_path.iterdir()))
        (path,) = tmp_path.iterdir()
        assert path.read_text().split()[1:2] == [str(core)]

    def test_a_burner_burns_while_its_row_lasts(self) -> None:
        rows = [Disturbance("contention", 0, 0, LONG_S), Disturbance("contention", 1, LONG_S, 2 * LONG_S)]
        with disturbing(rows, Burner(), ("cpu", "cpu")) as disturber:
            burning, resting = disturber.pids
            before_s, rest_s = cpu_seconds(burning), cpu_seconds(resting)
            disturber.begin(time.monotonic())
            wait_for(lambda: cpu_seconds(burning) > before_s + 0.3)
            assert cpu_seconds(resting) < rest_s + 0.1
            assert disturber.tick(time.monotonic()) < math.inf
            assert disturber.failures == []
        assert is_gone(burning) and is_gone(resting)

    def test_a_tenant_serves_while_its_row_lasts(self) -> None:
        tenant = TenantService(rate_qps=500, width=256)
        with disturbing([Disturbance("tenant", 0, 0, LONG_S)], tenant) as disturber:
            (pid,) = disturber.pids
            before_s = cpu_seconds(pid)
            disturber.begin(time.monotonic())
            wait_for(lambda: cpu_seconds(pid) > before_s + 0.1)

    def test_a_run_that_never_begins_leaves_none(self) -> None:
        with disturbing([Disturbance("contention", 0, 0, LONG_S)], Burner()) as disturber:
            (pid,) = disturber.pids
        assert is_gone(pid)
        disturber.close()

    def test_a_stopped_process_is_ended_too(self) -> None:
        with disturbing([Disturbance("contention", 0, 0, LONG_S)], Burner()) as disturber:
            (pid,) = disturber.pids
            os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: is_gone(pid))

    def test_an_interrupt_does_not_reach_them(self) -> None:
        with disturbing([Disturbance("contention", 0, 0, LONG_S)], Burner()) as disturber:
            (pid,) = disturber.pids
            disturber.begin(time.monotonic())
            os.kill(pid, signal.SIGINT)
            before_s = cpu_seconds(pid)
            wait_for(lambda: cpu_seconds(pid) > before_s + 0.1)
            disturber.tick(time.monotonic())
            assert disturber.failures == []

    def test_one_that_cannot_start_fails_the_run_with_its_own_words(self) -> None:
        with (
            pytest.raises(UserError, match=r"tenant process beside instance 0 on cpu.*ValueError: the well is dry$"),
            disturbing([Disturbance("tenant", 0, 0, 1)], Refusal(at_once=True)),
        ):
            pass

    def test_one_that_fails_later_is_reported_and_the_run_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        with disturbing([Disturbance("tenant", 0, 0, LONG_S)], Refusal(at_once=False)) as disturber:
            disturber.begin(time.monotonic())
            wait_for(lambda: disturber.tick(time.monotonic()) == math.inf)
            (line,) = disturber.failures
            assert "instance 0" in line and "ValueError: the well ran dry" in line
            assert line in caplog.text

    def test_one_that_is_killed_is_reported(self) -> None:
        with disturbing([Disturbance("tenant", 0, 0, LONG_S)], Burner()) as disturber:
            disturber.begin(time.monotonic())
            os.kill(disturber.pids[0], signal.SIGKILL)
            wait_for(lambda: disturber.tick(time.monotonic()) == math.inf)
            assert "without a word" in disturber.failures[0]

    @pytest.mark.slow
    def test_none_survives_its_parent(self) -> None:
        parent = subprocess.Popen(
            [sys.executable, "-m", "tests.serving.disturber_parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=heard_by_default,
        )
        try:
            assert parent.stdout is not None
            pids = [int(word) for word in parent.stdout.readline().split()]
            assert len(pids) == 2 and not any(map(is_gone, pids))
        finally:
            parent.kill()
            parent.communicate(timeout=PATIENCE_S)
        wait_for(lambda: all(map(is_gone, pids)))


@pytest.mark.skipif(sys.platform != "linux", reason="instances as processes need Linux")
def test_beside_a_real_pool_kills_arrive_and_nothing_is_left() -> None:
    pool = LocalPool(devices="cpu")
    rows = [Disturbance("contention", 0, 0, LONG_S), Disturbance("kill", 1, 0.2, 0.2), Disturbance("kill", 0, 0.1, 0.1)]
    disturber = Disturber(rows, ["cpu"] * 2, [None] * 2, pool.kill, {"contention": Burner()})
    try:
        pool.start({"same": ServedModel(partial(nn.Identity), (4,), (4,))}, [["same"]] * 2, 1, [Timeline()] * 2)
        disturber.start()
        pids = [*disturber.pids, *(pid for pid in pool.pids if pid is not None)]
        zero_s = time.monotonic()
        pool.begin(zero_s)
        disturber.begin(zero_s)
        events: list[Event] = []
        while sum(isinstance(event, Up) for event in events) < 2:
            assert time.monotonic() < zero_s + PATIENCE_S
            now_s = time.monotonic()
            events += pool.poll(min(max(disturber.tick(now_s) - now_s, 0), 0.1))
        assert [event.instance for event in events if isinstance(event, Down)] == [0, 1]
        assert disturber.failures == []
        pids += [pid for pid in pool.pids if pid is not None]
    finally:
        pool.close()
        disturber.close()
    wait_for(lambda: all(map(is_gone, pids)))


def test_a_tenants_queries_are_a_poisson_stream() -> None:
    service = TenantService(rate_qps=50, width=4, layers=1, batch=1).prepare("cpu", seed=3)
    service.begin(100.0)
    arrivals_s = [service.piece(99.0)]
    for _ in range(4000):
        arrivals_s.append(service.piece(arrivals_s[-1]))
    gaps_s = np.diff(arrivals_s)
    assert gaps_s.mean() == pytest.approx(1 / 50, rel=0.05)
    assert gaps_s.std() == pytest.approx(1 / 50, rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("helper", [Burner(), TenantService(rate_qps=100)])
def test_helpers_work_on_a_gpu(helper: Helper) -> None:
    with disturbing([Disturbance("contention", 0, 0, LONG_S)], helper, ("cuda:0",)) as disturber:
        disturber.begin(time.monotonic())
        (pid,) = disturber.pids
        before_s = cpu_seconds(pid)
        wait_for(lambda: cpu_seconds(pid) > before_s + 0.05)
        disturber.tick(time.monotonic())
        assert disturber.failures == []
