"""``simulate`` with objectives: the fewest machines, what is written of them, and what is refused."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from scipy.optimize import brentq
from scipy.special import gammaln

from parity_exp.errors import ConfigError
from parity_exp.experiment.capacity import Grown, plan_arguments
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.job import resolved
from parity_exp.experiment.keys import naming_keys
from parity_exp.process.parallel import Interrupted, Tell, in_parallel
from parity_exp.simulation.planning import plan_capacity
from tests.conftest import Run, metrics, run_dirs

SMALL = (
    "tracker=none",
    "simulate.processes=1",
    "straggler=none",
    "load.slo_ms=null",
    "load.rate_qps=400",
    "load.queries=1000",
    "plan.percentile=99",
    "plan.least_utilisation=0.2",
)


def mmm_quantile_s(servers: int, rate: float, mean_s: float, share: float) -> float:
    """The time from arrival to answer that a share of the queries does not exceed, in the M/M/m queue."""
    load = rate * mean_s
    terms = [math.exp(n * math.log(load) - gammaln(n + 1)) for n in range(servers)]
    full = math.exp(servers * math.log(load) - gammaln(servers + 1)) * servers / (servers - load)
    waits = full / (sum(terms) + full)
    service, drain = 1 / mean_s, servers / mean_s - rate

    def longer(t: float) -> float:
        late = service * (math.exp(-drain * t) - math.exp(-service * t)) / (service - drain)
        return math.exp(-service * t) + waits * late - (1 - share)

    return float(brentq(longer, 0, 100))


def test_one_plain_policy_needs_as_many_machines_as_the_formula_says(run: Run, folder: Path) -> None:
    at_ms = {servers: 1e3 * mmm_quantile_s(servers, 410, 0.02, 0.9) for servers in (9, 10)}
    objective = math.sqrt(at_ms[9] * at_ms[10])
    plan = (f"plan.slo_ms=[{objective}]", "plan.percentile=90", "load.queries=12000", "load.rate_qps=410")
    service = "distribution@simulate.service_time=exponential"
    assert run("simulate", *SMALL, *plan, service, "redundancy=[none]") == 0
    (run_dir,) = run_dirs(folder, "simulate")
    assert metrics(run_dir)["plan/none/machines"] == 10
    sizes = pd.read_csv(run_dir / "plan-sizes.csv").set_index("machines")
    assert sizes.loc[10, "percentile_ms"] == pytest.approx(at_ms[10], rel=0.1)
    assert sizes.loc[10, "busy"] == pytest.approx(0.82, rel=0.05)


@pytest.mark.draws
@pytest.mark.slow
def test_policies_are_compared_by_machines_and_objectives_that_cannot_be_kept_say_why(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    grows = (
        "straggler=[degraded]",
        "straggler.degraded.factor=10",
        "plan.per_instance={straggler.degraded.count: 0.1}",
        "plan.slo_times_p50=[0.5,3,20]",
        "simulate.seeds=2",
    )
    assert run("simulate", *SMALL, *grows, "redundancy=[none,hedged]", "load.queries=1700") == 0
    (run_dir,) = run_dirs(folder, "simulate")
    plan = pd.read_csv(run_dir / "plan.csv").set_index(["policy", "slo_ms"])
    assert plan.loc[("none", 10), "not_met"] == plan.loc[("hedged", 10), "not_met"] == "no answer takes less than 20 ms"
    assert plan.loc[("none", 60), "not_met"].startswith("not with 40 machines (p99 ")
    hedged = plan.loc[("hedged", 60)]
    assert 8 < hedged["machines"] < 40 and hedged["percentile_ms"] <= 60
    assert hedged["machines"] == hedged["base_instances"] + -(-hedged["base_instances"] // 2)
    assert hedged["utilisation"] == pytest.approx(8 / hedged["machines"]) and hedged["busy"] >= hedged["utilisation"]
    values = metrics(run_dir)
    assert values["plan/hedged/slo_60_ms/machines"] == hedged["machines"]
    assert "plan/hedged/machines" not in values and values["plan/p50_ms"] == pytest.approx(20)
    sizes = pd.read_csv(run_dir / "plan-sizes.csv")
    assert values["plan/simulations"] == 2 * len(sizes) and not sizes.duplicated(["policy", "machines"]).any()
    page = (run_dir / "report.html").read_text()
    assert "Fewest machines" in page and "no answer takes less than 20 ms" in page
    for name in ("machines_against_slo", "latency_against_machines"):
        assert (run_dir / "figures" / f"{name}.png").is_file() and f'id="{name}"' in page
    assert "p99 ≤ 60.0 ms: hedged" in capfd.readouterr().out


@pytest.fixture(scope="module")
def config() -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", [word for word in SMALL if word != "straggler=none"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plan.slo_ms": [0]}, ["plan.slo_ms=0", "above 0"]),
        ({"plan.slo_ms": []}, ["plan.slo_ms", "[3]"]),
        ({"plan.slo_times_p50": [3]}, ["plan.slo_ms and plan.slo_times_p50"]),
        ({"plan.percentile": 101}, ["plan.percentile=101", "at most 100"]),
        ({"plan.least_utilisation": 0}, ["plan.least_utilisation=0", "above 0"]),
        ({"load.queries": 900}, ["load.queries=900", "1000 or more"]),
        ({"plan.slo_ms": [500]}, ["load.queries=1000", "overload", "2000 or more"]),
        ({"plan.most_instances": 7}, ["plan.most_instances=7", "keep 8 instances busy"]),
        ({"load.rate_qps": None, "load.utilisation": 0.5}, ["load.rate_qps=2000"]),
        ({"load.slo_ms": 40}, ["load.slo_ms=40", "load.slo_ms=null"]),
        ({"plan.per_instance": {"straggler.crash.rate_per_s": 1}}, ["straggler.crash.rate_per_s", "(shuffle)"]),
        ({"plan.per_instance": {"pool.instances": 1}}, ["pool.instances is no value of a straggler"]),
        ({"plan.per_instance": 3}, ["plan.per_instance=3", "expected keys and values"]),
    ],
)
@pytest.mark.one_of_many
def test_nonsense_is_refused_in_one_line(config: DictConfig, changes: dict[str, Any], words: list[str]) -> None:
    changed = resolved(config)
    for key, value in {"plan.slo_ms": [50], **changes}.items():
        OmegaConf.update(changed, key, value)
    with pytest.raises(ConfigError) as refused, naming_keys():
        plan_capacity(**plan_arguments(changed), dry_run=True)
    assert all(word in str(refused.value) for word in words) and "\n" not in str(refused.value)


def test_values_that_grow_with_the_cluster_are_whole_where_their_class_says_so(config: DictConfig) -> None:
    changed = resolved(config)
    OmegaConf.update(changed, "plan.slo_ms", [50])
    crash = {"_target_": "parity_exp.disturbances.Crash", "rate_per_s": None}
    OmegaConf.update(changed, "straggler.crash", crash, force_add=True)
    shares = {"straggler.shuffle.transfers": 0.2, "straggler.crash.rate_per_s": 0.02}
    OmegaConf.update(changed, "plan.per_instance", shares, force_add=True)
    stragglers = plan_arguments(changed)["straggler"]
    assert isinstance(stragglers, Grown)
    for machines, transfers in ((3, 1), (23, 5), (1000, 200)):
        grown = stragglers.config(machines)
        assert grown.straggler.shuffle.transfers == transfers
        assert grown.straggler.crash.rate_per_s == pytest.approx(0.02 * machines)


def test_a_refused_plan_leaves_nothing(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("simulate", *SMALL, "plan.slo_ms=[-1]") == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "plan.slo_ms=-1" in line and not run_dirs(folder, "simulate")


def _half(number: int, tell: Tell) -> int:
    """A job whose second run is interrupted, and gives up what it has."""
    tell(5)
    if number == 2:
        raise Interrupted("half")
    return number


def test_what_interrupted_jobs_have_is_kept() -> None:
    with pytest.raises(Interrupted) as interrupted:
        in_parallel(_half, {"a": (1,), "b": (2,), "c": (3,)}, 1, "jobs", None)
    assert interrupted.value.done == {"a": 1, "b": "half"}
