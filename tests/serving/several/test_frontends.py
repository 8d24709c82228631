"""Several frontends of one pool, each a process: what they answer is what one does, whatever happens meanwhile."""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from parity_exp import serve, serve_live, simulate
from parity_exp.checks import SettingError
from parity_exp.coding import AdditionEncoder, Code, SubtractionDecoder
from parity_exp.disturbances import Crash
from parity_exp.errors import UserError
from parity_exp.load import ClosedLoop, Poisson
from parity_exp.policies import Hedged, NoRedundancy, Parity
from parity_exp.policies.policy import BASE
from parity_exp.policies.queues import C3, JoinIdleQueue, LeastOutstanding, PowerOfD, Prequal, RandomChoice, RoundRobin
from parity_exp.scenario.result import ServingResult
from parity_exp.serving.pool import Pool
from parity_exp.serving.serving import Serving
from parity_exp.serving.several import relay
from tests.child_signals import heard_here
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


def kill(*numbers: int) -> None:
    """Kill frontends of this process."""
    pids = frontends_of(os.getpid())
    for number in numbers:
        os.kill(pids[number], signal.SIGKILL)


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
    """Some tasks take so long that their groups are decoded first, however busy this machine is."""
    pool = TimedPool(work, 3, slow_ms=lambda model, task: 400.0 * (model == BASE and task % 40 == 5))
    table = check_whole(result := served(pool, policies={"coded": Parity}), "coded")
    groups = table[table["group"] >= 0].groupby("group")["frontend"]
    assert (groups.nunique() == 1).all() and groups.ngroups > 20
    assert result.metrics["serve/coded/parity_queries"] > 0
    assert result.metrics["serve/coded/fraction/reconstructed"] > 0


def test_no_query_is_lost_though_instances_are_killed() -> None:
    pool = TimedPool(work, 3)
    load = Poisson(300, warmup=10, rate_qps=400, slo_ms=None)
    result = served(pool, policies={"coded": Parity, "hedged": Hedged}, straggler=Crash(rate_per_s=20), load=load)
    assert pool.kills > 0
    check_whole(result, "coded", 300)
    check_whole(result, "hedged", 300)


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

    def meetings(frontends: int) -> int:
        tasks = served(frontends=frontends, load=load, queue=JoinIdleQueue, instances=4).recorded["none"].tasks
        one_after_another = [own.sort_values("started_s") for _, own in tasks.groupby("instance")]
        return sum(int((own["placed_s"] < own["finished_s"].shift()).sum()) for own in one_after_another)

    assert meetings(3) > 0
    assert meetings(1) == 0


def test_a_closed_loop_has_as_many_under_way_as_clients_on_all_frontends_together() -> None:
    load = ClosedLoop(100, clients=5, warmup=10, slo_ms=None)
    table = check_whole(served(load=load), "none", 100)
    edges = sorted([*((time_s, 1) for time_s in table["sent_s"]), *((time_s, -1) for time_s in table["completed_s"])])
    assert np.cumsum([change for _, change in edges]).max() <= 5
    assert set(table["frontend"]) == {0, 1}


def test_a_group_that_nobody_completes_is_given_up_in_a_closed_loop() -> None:
    """A query waits for a group that no other will ever be part of: nobody asks before somebody is answered."""
    result = served(
        load=ClosedLoop(12, clients=1, warmup=0, slo_ms=None), policies={"coded": NeverAlone}, queue=RoundRobin
    )
    metrics = result.by_policy["coded"]
    assert metrics["queries"] == 12 and metrics["lost"] == 0 and metrics["fraction/error"] == 1


class NeverAlone(NoRedundancy):
    """Holds every query back, as for a group that others are to fill, and never lets it go."""

    def arrived(self, batch: Any, now_s: float) -> None:
        pass


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
        pool = TimedPool(work, 20, at_30=lambda: kill(1))
        result = served(pool, load=Poisson(150, warmup=0, rate_qps=150, slo_ms=None), instances=8)
    metrics = result.by_policy["none"]
    assert metrics["queries"] + metrics["lost"] == 150 and metrics["queries"] > 30
    assert metrics["accuracy"] == 1 and metrics["duplicates"] == 0 and metrics["frontend_deaths"] == 1
    lines = [record.getMessage() for record in caplog.records if "frontend" in record.getMessage()]
    assert len(lines) == 1 and "\n" not in lines[0]
    assert lines[0].startswith("none: frontend 1 died: its process was killed by signal 9; ")
    assert f"{int(metrics['lost'])} quer" in lines[0]
    assert result.recorded["none"].queries["frontend"].iloc[-20:].eq(0).all()
    assert no_children()


def test_a_closed_loop_goes_on_without_a_frontend_that_died() -> None:
    load = ClosedLoop(200, clients=6, warmup=0, slo_ms=None)
    result = served(TimedPool(work, 10, at_30=lambda: kill(0)), load=load, instances=4)
    metrics = result.by_policy["none"]
    assert metrics["queries"] + metrics["lost"] == 200 and metrics["lost"] <= 6
    assert metrics["frontend_deaths"] == 1


def test_without_any_frontend_the_run_ends_and_keeps_what_was_answered(tmp_path: Path) -> None:
    pool = TimedPool(work, 10, at_30=lambda: kill(0, 1))
    with pytest.raises(UserError, match="every frontend has died"):
        served(pool, load=Poisson(400, warmup=0, rate_qps=150, slo_ms=None), folder=tmp_path / "run")
    table = pd.read_parquet(tmp_path / "run" / "queries-none.parquet")
    assert 0 < len(table) < 400
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_ctrl_c_ends_all_processes_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    pool = TimedPool(work, 10, at_30=lambda: os.kill(os.getpid(), signal.SIGINT))
    with heard_here(), pytest.raises(KeyboardInterrupt):
        served(pool, load=Poisson(3000, warmup=0, rate_qps=150, slo_ms=None), folder=tmp_path / "run")
    assert no_children()
    table = pd.read_parquet(tmp_path / "run" / "queries-none.parquet")
    tasks = pd.read_parquet(tmp_path / "run" / "tasks-none.parquet")
    assert 0 < len(table) < 3000 and len(tasks) >= len(table)


def test_ctrl_c_while_frontends_start_ends_them(tmp_path: Path) -> None:
    def interrupt() -> None:
        until_s = time.monotonic() + 20
        while not frontends_of(os.getpid()) and time.monotonic() < until_s:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with heard_here(), pytest.raises(KeyboardInterrupt):
        served(TimedPool(work, 10), load=Poisson(3000, warmup=0, rate_qps=150, slo_ms=None), folder=tmp_path / "run")
    thread.join()
    assert no_children()


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


@pytest.mark.parametrize("queue", [RandomChoice, RoundRobin])
@pytest.mark.one_of_many
def test_each_query_goes_to_the_instance_that_it_goes_to_in_a_simulation(queue: Any) -> None:
    """Which frontend has it, and what that draws, does not depend on how long anything takes."""
    shared: dict[str, Any] = {"load": LOAD, "instances": 5, "frontends": 3, "queue": queue}
    real = check_whole(served(**shared), "none")
    twin = simulate(policies=[NoRedundancy], service_time_ms=2, show_progress=False, **shared).recorded["none"].queries
    assert real["instance"].tolist() == twin["instance"].tolist() and real["instance"].nunique() == 5
    assert real["frontend"].tolist() == twin["frontend"].tolist() and real["frontend"].nunique() == 3


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

    def look() -> None:
        for pid in frontends_of(os.getpid()):
            links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
            seen.append(sum(link.startswith("socket:") for link in links))

    served(TimedPool(work, 10, at_30=look), load=Poisson(100, rate_qps=150, slo_ms=None))
    assert seen == [1, 1]


def test_what_one_frontend_alone_can_do_is_refused_before_anything_starts() -> None:
    with pytest.raises(SettingError, match=r"frontends=2: the 3 queries of a request"):
        served(together=3)
    with pytest.raises(SettingError, match=r"frontends=2: an endpoint has one"):
        serve_live(MODEL, QUERIES, policies=NoRedundancy, frontends=2, instances=2)


def test_a_frontend_that_hangs_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "HANGS_S", 3.0)
    pool = TimedPool(work, 10, at_30=lambda: os.kill(frontends_of(os.getpid())[0], signal.SIGSTOP))
    result = served(pool, load=Poisson(150, warmup=0, rate_qps=150, slo_ms=None))
    metrics = result.by_policy["none"]
    assert metrics["queries"] + metrics["lost"] == 150 and metrics["frontend_deaths"] == 1
    assert result.errors["error"].str.startswith("it has said nothing for 3 s").all()
    assert no_children()
