"""``parity_exp.simulate`` and ``plan_capacity``: policies, loads and stragglers in, metrics and tables out."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parity_exp import plan_capacity, simulate
from parity_exp.disturbances import Contention, Crash, Degraded, Exponential, Pareto, Shuffle
from parity_exp.disturbances.helpers import Burner
from parity_exp.errors import UserError
from parity_exp.load import Bursts, ClosedLoop, Poisson
from parity_exp.policies import ApproximateBackup, EqualResources, Hedged, NoRedundancy, Oracle, Parity
from parity_exp.recordings.reader import read_recordings
from parity_exp.recordings.run_directory import RunDirectory

LOAD = Poisson(500, warmup=20, utilisation=0.6)


def simulated(*arguments: Any, **options: Any) -> Any:
    return simulate(*arguments, show_progress=False, **options)


def test_policies_are_objects_or_classes_and_stay_as_they_are() -> None:
    parity = Parity(2, 1)
    before = dict(vars(parity))
    given = simulated({"mine": parity, "none": NoRedundancy}, LOAD, straggler=Shuffle(), instances=6)
    again = simulated({"mine": Parity, "none": NoRedundancy(2, 1)}, LOAD, straggler=Shuffle(), instances=6)
    assert given.metrics == again.metrics
    assert vars(parity) == before
    assert list(given.by_policy) == ["mine", "none"]


def test_a_policy_has_the_same_results_alone_and_in_a_list() -> None:
    options = {"straggler": {"slow": Degraded(), "gone": Crash(rate_per_s=0.5)}, "instances": 4, "seed": 3}
    alone = simulated([Hedged], LOAD, **options)
    listed = simulated([NoRedundancy, Hedged, Oracle], LOAD, **options)
    assert alone.by_policy["hedged"] == listed.by_policy["hedged"]


def test_tables_say_what_the_files_say(tmp_path: Path) -> None:
    result = simulated([EqualResources, Parity], LOAD, straggler=Degraded(), folder=tmp_path / "run")
    found = read_recordings(tmp_path / "run", result.by_policy)
    for policy, table in found.queries.items():
        own = result.queries[result.queries["policy"] == policy].drop(columns="policy").reset_index(drop=True)
        assert own.equals(table)
    assert found.trace is not None and found.trace.equals(result.trace)
    run = RunDirectory(tmp_path / "run")
    assert run.read_metrics() == result.metrics
    assert run.read_config()["load"]["queries"] == 500
    with pytest.raises(UserError, match="holds another run"):
        simulated([Parity], LOAD, folder=tmp_path / "run")


@pytest.mark.slow
def test_several_seeds_have_intervals_in_any_number_of_processes() -> None:
    one, two = (
        simulated([NoRedundancy], LOAD, straggler=Degraded(), seeds=2, processes=count, service_time=Exponential(1))
        for count in (1, 2)
    )
    assert one.metrics == two.metrics and one.queries.equals(two.queries)
    assert one.metrics["simulate/none/latency_ms/p99_ci95"] > 0 and not one.intervals.empty
    assert sorted(one.by_seed) == [0, 1]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a rate": (lambda: Poisson(100, rate_qps=-1), "rate_qps=-1: expected a number or None, above 0"),
    "a rate and a utilisation": (lambda: Poisson(1, rate_qps=1, utilisation=1), "rate_qps and utilisation: give one"),
    "of a class": (lambda: Bursts(100, on_s="long"), "on_s=long: expected a number"),  # type: ignore[arg-type]
    "no policies": (lambda: simulated([], LOAD), "policies: there is none"),
    "twice the same": (lambda: simulated([Parity(2, 1), Parity(3, 1)], LOAD), "policies: two are called parity"),
    "a name": (lambda: simulated("parity", LOAD), "policies='parity': expected objects by name"),
    "no load": (lambda: simulated([Parity], 100), "load=100: expected a Load"),
    "no straggler": (lambda: simulated([Parity], LOAD, straggler={"a": 3}), "straggler.a=3: expected"),
    "few instances": (lambda: simulated([NoRedundancy], LOAD, straggler=Shuffle(), instances=1), "raise instances"),
    "processes": (lambda: simulated([Parity], LOAD, straggler=Contention(Burner())), "straggler: rows of kind content"),
    "a time": (lambda: simulated([Parity], LOAD, service_time_ms=0), "service_time_ms=0: expected"),
    "no shape": (lambda: simulated([Parity], LOAD, service_time=20), "service_time=20: expected a Distribution"),
    "no mean": (lambda: simulated([Parity], LOAD, service_time=Pareto(1, 1)), "service_time: a distribution with mean"),
    "no queue": (lambda: simulated([Parity], LOAD, queue=dict), "queue=builtins.dict: expected a subclass"),
    "no rate": (lambda: plan_capacity([Parity], LOAD, slo_ms=50), "load: a plan needs"),
    "no objective": (lambda: plan_capacity([Parity], Poisson(9, rate_qps=9)), "slo_ms and slo_times_p50: give one"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_a_line_without_keys_of_configs(case: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(ValueError) as refused:
        call()
    line = str(refused.value)
    assert words in line and "\n" not in line and "pool." not in line and "{" not in line.replace("{'", "")


def test_clients_that_wait_and_backups_are_simulated_as_by_the_command() -> None:
    result = simulated([ApproximateBackup], ClosedLoop(300, clients=4, think_ms=5), backup_ratio=0.2, network_ms=1)
    assert result.metrics["simulate/approximate_backup/queries"] == 300
    assert result.metrics["simulate/approximate_backup/lost"] == 0


def test_a_plan_finds_the_fewest_machines_with_stragglers_that_grow(tmp_path: Path) -> None:
    machines: list[int] = []

    def growing(count: int) -> Shuffle:
        machines.append(count)
        return Shuffle(transfers=max(1, count // 4))

    plan = plan_capacity(
        [NoRedundancy, EqualResources], Poisson(2_000, rate_qps=200), slo_ms=[60, 200], percentile=90,
        straggler=growing, processes=1, folder=tmp_path / "run", show_progress=False,
    )  # fmt: skip
    assert plan.answers["policy"].tolist() == ["none", "none", "equal_resources", "equal_resources"]
    assert plan.metrics["plan/none/machines"] >= 200 * 0.02
    assert len(set(machines)) > 2
    assert (tmp_path / "run" / "plan.csv").is_file() and list(plan.figures()) and plan.findings


SCRIPT = """
from parity_exp import simulate
from parity_exp.load import Poisson
from parity_exp.policies import NoRedundancy

class Mine(NoRedundancy):
    pass

print("once")
result = simulate([Mine], Poisson(50, utilisation=0.5), seeds=2, processes=2, show_progress=False)
print(result.metrics["simulate/mine/queries"])
"""


@pytest.mark.slow
def test_a_script_without_a_main_guard_simulates_a_policy_of_its_own_in_processes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.stdout.split(), done.returncode) == (["once", "50.0"], 0), done.stderr
