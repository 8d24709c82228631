"""Several frontends of one pool, each a process: what they answer is what one does, whatever happens meanwhile."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from parity_exp import serve, simulate
from parity_exp.coding import AdditionEncoder, BerrutCode, Code, SubtractionDecoder
from parity_exp.disturbances import Crash
from parity_exp.errors import UserError
from parity_exp.load import ClosedLoop, Poisson
from parity_exp.policies import Coded, Hedged, NoRedundancy, Parity
from parity_exp.policies.queues import C3, JoinIdleQueue, LeastOutstanding, PowerOfD, Prequal, RandomChoice, RoundRobin
from parity_exp.scenario.result import ServingResult
from parity_exp.serving.pool import Pool
from parity_exp.serving.serving import Serving
from tests.serving.several.timed_pool import TimedPool
from tests.serving.test_session import QUERIES, Linear

MODEL = Linear()
LOAD = Poisson(120, warmup=10, rate_qps=800, slo_ms=None)
CODE = Code(AdditionEncoder(2, 1, (6,)), SubtractionDecoder(2, 1, (3,)))


def work(queries: Tensor) -> Tensor:
    with torch.inference_mode():
        return MODEL(queries)


@pytest.fixture(autouse=True)
def known_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring what instances serve takes longer than the runs here."""
    from parity_exp.serving.throughput import Throughput

    def throughput(self: Serving, base: object) -> Throughput:
        return Throughput(self.instances, 0.002, self.instances / 0.002)

    monkeypatch.setattr(Serving, "_throughput", throughput)


def served(pool: Pool | None = None, **more: Any) -> ServingResult:
    given: dict[str, Any] = {
        "policies": [NoRedundancy], "load": LOAD, "instances": 4, "frontends": 2, "code": CODE,
        "parity_models": [MODEL], "show_progress": False,
    }  # fmt: skip
    labels = work(QUERIES).argmax(1)
    return serve(MODEL, QUERIES, labels, pool=TimedPool(work) if pool is None else pool, **{**given, **more})


def check_whole(result: ServingResult, policy: str, queries: int = 120) -> pd.DataFrame:
    """No query is lost, and none answered twice; every answer is right."""
    metrics = result.by_policy[policy]
    assert (metrics["queries"], metrics["lost"], metrics["duplicates"]) == (queries, 0, 0)
    assert metrics["accuracy"] == 1
    table = result.recorded[policy].queries
    assert table["query"].is_unique and (table["completed_s"] >= table["sent_s"]).all()
    assert result.recorded[policy].tasks["task"].is_unique
    return table


def no_children() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG) == (0, 0) and not frontends_of(os.getpid())
    except ChildProcessError:
        return True


def frontends_of(pid: int) -> list[int]:
    """Processes of frontends that a process has, by their numbers."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name.startswith("frontend ") and int(rest.split()[1]) == pid and rest.split()[0] != "Z":
            found[int(name.split()[1])] = int(entry.name)
    return [found[number] for number in sorted(found)]


def when_they_run(do: Callable[[list[int]], None], count: int = 2, after_s: float = 0.1) -> threading.Thread:
    """Do something to the processes of frontends once all are there and have served for a while."""

    def wait() -> None:
        until_s = time.monotonic() + 20
        while len(pids := frontends_of(os.getpid())) < count and time.monotonic() < until_s:
            time.sleep(0.005)
        time.sleep(after_s)
        do(pids)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("split", ["random", "round_robin"])
def test_predictions_are_those_of_one_frontend_and_each_query_has_one(split: str) -> None:
    one = check_whole(served(frontends=1), "none")
    four = check_whole(result := served(frontends=4, frontend_split=split), "none")
    assert four["predicted"].tolist() == one["predicted"].tolist() and four["scheduled_s"].equals(one["scheduled_s"])
    owners = four["frontend"].tolist()
    assert set(owners) == {0, 1, 2, 3} and "frontend" not in one
    if split == "round_robin":
        assert owners == [query % 4 for query in four["query"]]
    metrics = result.by_policy["none"]
    assert [metrics[f"frontends/{number}/queries"] for number in range(4)] == [owners.count(n) for n in range(4)]
    assert metrics["frontends/2/latency_ms/p50"] > 1 and metrics["frontends/2/frontend_us"] > 0
    assert metrics["relay_us"] > 0 and metrics["tasks_per_query"] == 1
    known = {key for key in metrics if not key.startswith("frontends/")} - {"relay_us"}
    assert known == set(served(frontends=1).by_policy["none"])
    assert no_children()


def test_groups_of_frontends_are_their_own_and_reconstruct() -> None:
    pool = TimedPool(work, task_ms=3)
    result = served(pool, policies={"coded": Parity, "hedged": Hedged}, straggler=Crash(rate_per_s=20), instances=2)
    table = check_whole(result, "coded")
    groups = table[table["group"] >= 0].groupby("group")["frontend"]
    assert (groups.nunique() == 1).all() and groups.ngroups > 20
    assert pool.kills > 0 and result.metrics["serve/coded/parity_queries"] > 0
    assert result.metrics["serve/coded/fraction/reconstructed"] > 0
    check_whole(result, "hedged")


@pytest.mark.parametrize(
    "queue",
    [RoundRobin, RandomChoice, LeastOutstanding, PowerOfD, JoinIdleQueue, Prequal, C3],
    ids=lambda one: one.__name__,
)
def test_every_queue_discipline_serves_though_instances_are_killed(queue: Any) -> None:
    pool = TimedPool(work)
    check_whole(served(pool, queue=queue, frontends=3, straggler=Crash(rate_per_s=15)), "none")
    assert pool.most_at_once <= pool.prefetch


def test_frontends_that_know_of_each_other_late_meet_at_busy_instances() -> None:
    """Of all idle ones a frontend chooses some that another has just taken: one frontend never does at this load."""
    load = ClosedLoop(150, clients=3, warmup=0, slo_ms=None)

    def waits(frontends: int) -> int:
        tasks = served(frontends=frontends, load=load, queue=JoinIdleQueue, instances=4).recorded["none"].tasks
        return int((tasks["started_s"] - tasks["placed_s"] > 0.001).sum())

    assert waits(3) > waits(1)


def test_a_closed_loop_has_as_many_under_way_as_clients_on_all_frontends_together() -> None:
    load = ClosedLoop(100, clients=5, warmup=10, slo_ms=None)
    table = check_whole(served(load=load), "none", 100)
    edges = sorted([*((time_s, 1) for time_s in table["sent_s"]), *((time_s, -1) for time_s in table["completed_s"])])
    assert np.cumsum([change for _, change in edges]).max() <= 5
    assert set(table["frontend"]) == {0, 1}


def test_a_group_that_nobody_completes_is_given_up_in_a_closed_loop() -> None:
    code = BerrutCode(2)  # its queries wait for their group
    result = served(
        load=ClosedLoop(12, clients=1, warmup=0, slo_ms=None), policies={"coded": Coded}, code=code, parity_models=()
    )
    metrics = result.by_policy["coded"]
    assert metrics["queries"] == 12 and metrics["lost"] == 0


def test_what_a_model_raises_and_what_nobody_needs_come_back_through_the_relay() -> None:
    def fails(queries: Tensor) -> Tensor:
        raise ValueError("not this one")

    result = served(TimedPool(fails))
    assert result.by_policy["none"]["fraction/error"] == 1 and result.by_policy["none"]["lost"] == 0
    (error,) = result.errors.to_dict("records")
    assert error["error"] == "not this one" and error["times"] == result.by_policy["none"]["errors"]
    stopped = served(TimedPool(work, 20, interrupts=True), policies={"hedged": Hedged}, straggler=None)
    assert stopped.by_policy["hedged"]["lost"] == 0


def test_a_frontend_that_dies_loses_what_it_had_and_others_answer_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        thread = when_they_run(lambda pids: os.kill(pids[1], signal.SIGKILL))
        result = served(TimedPool(work, 20), load=Poisson(150, warmup=0, rate_qps=150, slo_ms=None), instances=8)
        thread.join()
    metrics = result.by_policy["none"]
    assert metrics["queries"] + metrics["lost"] == 150 and 0 <= metrics["lost"] < 20
    assert metrics["accuracy"] == 1 and metrics["duplicates"] == 0 and metrics["frontend_deaths"] == 1
    lines = [record.getMessage() for record in caplog.records if "frontend" in record.getMessage()]
    assert len(lines) == 1 and "\n" not in lines[0]
    assert lines[0].startswith("none: frontend 1 died: its process was killed by signal 9; ")
    assert f"{int(metrics['lost'])} quer" in lines[0]
    assert result.recorded["none"].queries["frontend"].iloc[-20:].eq(0).all()
    assert no_children()


def test_a_closed_loop_goes_on_without_a_frontend_that_died() -> None:
    thread = when_they_run(lambda pids: os.kill(pids[0], signal.SIGKILL))
    load = ClosedLoop(200, clients=6, warmup=0, slo_ms=None)
    result = served(TimedPool(work, 10), load=load, instances=4)
    thread.join()
    metrics = result.by_policy["none"]
    assert metrics["queries"] + metrics["lost"] == 200 and metrics["lost"] <= 6
    assert metrics["frontend_deaths"] == 1


def test_without_any_frontend_the_run_ends_and_keeps_what_was_answered(tmp_path: Path) -> None:
    thread = when_they_run(lambda pids: [os.kill(pid, signal.SIGKILL) for pid in pids] and None)
    with pytest.raises(UserError, match="every frontend has died"):
        served(TimedPool(work, 10), load=Poisson(400, rate_qps=150, slo_ms=None), folder=tmp_path / "run")
    thread.join()
    table = pd.read_parquet(tmp_path / "run" / "queries-none.parquet")
    assert 0 < len(table) < 400
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("moment", ["while they start", "while they serve"])
def test_ctrl_c_ends_all_processes_and_keeps_what_was_recorded(tmp_path: Path, moment: str) -> None:
    after_s = 0.0 if moment == "while they start" else 0.3
    thread = when_they_run(lambda _: os.kill(os.getpid(), signal.SIGINT), after_s=after_s)
    with pytest.raises(KeyboardInterrupt):
        served(TimedPool(work, 10), load=Poisson(3000, warmup=0, rate_qps=150, slo_ms=None), folder=tmp_path / "run")
    thread.join()
    assert no_children()
    if after_s:
        table = pd.read_parquet(tmp_path / "run" / "queries-none.parquet")
        tasks = pd.read_parquet(tmp_path / "run" / "tasks-none.parquet")
        assert 0 < len(table) < 3000 and len(tasks) >= len(table)


def test_what_a_policy_raises_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of ideas"):
        served(policies={"own": OutOfIdeas}, folder=tmp_path / "run")
    assert no_children()


class OutOfIdeas(NoRedundancy):
    """Raises, as a policy of a user's own may."""

    def arrived(self, batch: Any, now_s: float) -> None:
        if batch.queries[0] > 20:
            raise RuntimeError("out of ideas")
        super().arrived(batch, now_s)


@pytest.mark.alone
@pytest.mark.parametrize("frontends", [2, 4])
def test_simulated_and_served_latencies_are_alike(frontends: int) -> None:
    load = Poisson(150, warmup=10, rate_qps=110, slo_ms=None)
    shared: dict[str, Any] = {"load": load, "instances": 4, "frontends": frontends, "queue": RandomChoice}
    result = served(TimedPool(work, 20), **shared)
    simulated = simulate(policies=[NoRedundancy], service_time_ms=20, show_progress=False, **shared)
    real, twin = result.by_policy["none"], simulated.by_policy["none"]
    assert real["latency_ms/p50"] == pytest.approx(twin["latency_ms/p50"], rel=0.4)
    assert real["latency_ms/p99"] == pytest.approx(twin["latency_ms/p99"], rel=0.5)


def test_full_disks_are_told_of_as_with_one_frontend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from parity_exp.recordings import recorder

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder, "write_recordings", full)
    with pytest.raises(OSError, match="No space left"):
        served(folder=tmp_path / "run")
    assert no_children()


def test_processes_keep_no_sockets_of_others() -> None:
    """The end of this process is the end of its channels, though forks of it live a little longer."""
    seen: list[int] = []

    def look(pids: list[int]) -> None:
        for pid in pids:
            links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
            seen.append(sum(link.startswith("socket:") for link in links))

    thread = when_they_run(look)
    served(TimedPool(work, 10), load=Poisson(100, rate_qps=150, slo_ms=None))
    thread.join()
    assert seen == [1, 1]
