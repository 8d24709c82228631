"""A policy meets the same world, and has the same results, alone and beside any others."""

import itertools
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from parity_exp.disturbances.trace import Disturbance, read_trace, write_trace
from parity_exp.disturbances.worlds import world_of
from parity_exp.errors import ConfigError
from parity_exp.experiment.config_folder import config_folder
from parity_exp.simulation.simulation import Simulation
from tests.commands.simulated import simulate_seed, simulation_of
from tests.slow_cases import slow_but

QUERIES = 120
WITHOUT_A_CODE_OF_THEIR_OWN = {"coded"}
REAL_PROCESSES = {"contention", "multitenancy"}
BESIDE = {"none", "trace"}  # nothing to draw, and a file


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


POLICIES = [name for name in names("redundancy") if name not in WITHOUT_A_CODE_OF_THEIR_OWN]
STRAGGLERS = [name for name in names("straggler") if name not in REAL_PROCESSES | BESIDE | {"corrupt"}]


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", list(overrides))
    OmegaConf.set_struct(config, False)
    config.pop("sweep", None)
    OmegaConf.resolve(config)
    return config


@cache
def machines() -> Path:
    """A file of some machines, each slow for a while."""
    path = Path(tempfile.mkdtemp()) / "machines.csv"
    rows = [f"{1.0 + (at == machine)},1,{10 * at},vm-{machine}" for machine in range(12) for at in range(12)]
    path.write_text("\n".join(["value,runtime,starttime,VM_id", *rows]) + "\n")
    return path


def simulation(policies: tuple[str, ...], straggler: str, **changes: Any) -> Simulation:
    # r = 2, since a vote needs two parity outputs; and then the policies' clusters have three sizes and more.
    config = composed(
        f"redundancy=[{','.join(POLICIES)}]", f"straggler={straggler}", "r=2", "k=3", "load.warmup=0",
        f"load.queries={QUERIES}", "load.slo_ms=null", "load.utilisation=0.7",
    ).copy()  # fmt: skip
    config.redundancy = {name: config.redundancy[name] for name in policies}
    if "machine_trace" in straggler:
        changes["straggler__machine_trace__path"] = str(machines())
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    return simulation_of(config)


def results(simulated: Simulation, policy: str, folder: Path | None = None) -> dict[str, float]:
    metrics = simulate_seed(simulated, 5, folder)
    return {key: value for key, value in metrics.items() if key.startswith(f"simulate/{policy}/")}


COMBINATIONS = [
    f"[{one},{other}]" for one, other in itertools.combinations(["degraded", "shuffle", "crash", "slowdown"], 2)
]


@pytest.mark.parametrize("straggler", slow_but(["shuffle", "[degraded,crash]"], [*STRAGGLERS, *COMBINATIONS]))
def test_a_trace_is_the_same_alone_and_in_any_list(straggler: str) -> None:
    together = simulation(tuple(POLICIES), straggler).scene(5)
    assert len(together.worlds) >= 3
    for policy in POLICIES:
        alone = simulation((policy,), straggler)
        assert alone.scene(5).worlds == {alone.sizes[policy]: together.worlds[alone.sizes[policy]]}


@pytest.mark.parametrize(
    "straggler", slow_but(["degraded"], ["shuffle", "degraded", "crash_often", "slowdown_pareto", "[degraded,shuffle]"])
)
def test_results_are_the_same_alone_and_in_any_list(straggler: str) -> None:
    listed = simulate_seed(simulation(tuple(POLICIES), straggler), 5)
    for policy in POLICIES:
        own = results(simulation((policy,), straggler), policy)
        assert own.items() <= listed.items()


@pytest.mark.parametrize("straggler", slow_but(["shuffle"], ["shuffle", "[degraded,slowdown]"]))
def test_the_file_of_a_run_of_several_sizes_replays_each_policys_results(straggler: str, tmp_path: Path) -> None:
    policies = ("none", "parity", "replication")
    run = simulation(policies, straggler)
    first = {policy: results(run, policy, tmp_path) for policy in policies}
    rows = read_trace(tmp_path / "straggler-trace.csv")
    for policy in policies:
        size = run.sizes[policy]
        assert [row for row in world_of(rows, size) if row.instance < size] == run.scene(5).worlds[size]
    for listed in (policies, ("parity",)):
        again = simulation(listed, "trace", straggler__trace__path=str(tmp_path / "straggler-trace.csv"))
        for policy in listed:
            assert results(again, policy) == first[policy]


def test_a_policy_that_lacks_the_named_instance_is_told_of_and_the_others_meet_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    named = {"straggler__degraded__instance": 5}
    scene = simulation(("none", "parity"), "degraded", **named).scene(5)
    assert [row.instance for row in scene.worlds[7]] == [5]
    assert scene.worlds[4] == []
    (warning,) = caplog.messages
    assert "straggler.degraded" in warning and "none" in warning
    with pytest.raises(ConfigError, match=r"straggler\.degraded\.instance=5.*0 to 3"):
        simulation(("none",), "degraded", **named)


@pytest.mark.parametrize(("numbers", "words"), [([2, 40, 41], ["2 of its 3 rows"]), ([40, 41], ["none of its rows"])])
def test_rows_of_instances_that_there_are_not_are_told_of(
    numbers: list[int], words: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_trace(tmp_path / "rows.csv", [Disturbance("slow", number, 0.0, 9.0, 2.0) for number in numbers])
    path = {"straggler__trace__path": str(tmp_path / "rows.csv")}
    if 2 in numbers:
        simulation(("parity",), "trace", **path)
        (line,) = caplog.messages
    else:
        with pytest.raises(ConfigError) as refused:
            simulation(("parity",), "trace", **path)
        line = str(refused.value)
    assert all(word in line for word in [*words, "straggler.trace", "7 instances"])
