"""Numbers from outside are bounded: what no memory holds, or takes for ever, is refused in a line with its key."""

import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from parity_exp.checks import SettingError
from parity_exp.disturbances.trace import Disturbance, write_trace
from parity_exp.errors import UserError
from parity_exp.experiment.keys import naming_keys
from parity_exp.load import TraceLoad, write_arrivals
from parity_exp.serving.serving import LONGEST_S
from parity_exp.simulation.simulation import Simulation
from tests.commands.simulated import simulate_seed, simulation_of
from tests.commands.test_one_world import composed, simulation

MOST_BYTES = 300_000_000


GROUPS = ("redundancy=", "load=", "straggler=")


def from_config(*overrides: str) -> Simulation:
    chosen = ["redundancy=[parity]", *(override for override in overrides if override.startswith(GROUPS))]
    config = composed(*chosen).copy()
    config.load.queries = 200
    for key, _, value in (override.partition("=") for override in overrides if not override.startswith(GROUPS)):
        OmegaConf.update(config, key, None if value == "null" else number(value))
    return simulation_of(config)


def number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def refused(*overrides: str) -> str:
    composed("redundancy=[parity]", *(override for override in overrides if override.startswith(GROUPS)))
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as error, naming_keys():
            from_config(*overrides).scene(0)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (["load.queries=1000000000000"], "load.queries=1000000000000"),
        (["load.warmup=1000000000000"], "load.warmup=1000000000000"),
        (["load.rate_qps=1e-12", "straggler=none"], "load: "),
        (["load.rate_qps=1e-300", "straggler=none"], "load: "),
        (["load.rate_qps=1e300"], "load.rate_qps"),
        (["load.utilisation=1e300"], "load.utilisation"),
        (["load.rate_qps=0.00001", "straggler=shuffle"], "straggler.shuffle"),
        (["load.rate_qps=0.00001", "straggler=slowdown"], "straggler.slowdown"),
        (["load=bursts", "load.on_s=1e-300", "load.off_s=0"], "load.on_s"),
        (["load=closed", "load.think_ms=1e300"], "load.think_ms=1e+300"),
        (["pool.instances=1000000000"], "pool.instances"),
        (["redundancy=[replication]", "redundancy.replication.factor=1000000000"], "redundancy.replication"),
        (["pool.batch_size=1000000000000"], "pool.batch_size"),
        (["simulate.prefetch=1000000000000"], "simulate.prefetch"),
        (["simulate.seeds=1000000000000"], "simulate.seeds"),
        (["simulate.processes=1000000000000"], "simulate.processes"),
        (["simulate.network_ms=1e300"], "simulate.network_ms"),
        (["pool.service_time_ms=1e300"], "pool.service_time_ms"),
        (["straggler=shuffle", "straggler.shuffle.transfers=1000000000"], "straggler.shuffle"),
        (["straggler=crash", "straggler.crash.rate_per_s=1e300"], "straggler.crash"),
    ],
)
def test_numbers_that_no_machine_can_hold_are_refused(overrides: list[str], word: str) -> None:
    assert word in refused(*overrides)


def test_arrivals_in_seconds_since_1970_are_simulated_as_their_gaps_say(tmp_path: Path) -> None:
    gaps_s = np.cumsum(np.random.default_rng(0).exponential(0.01, 300))
    values = []
    for name, start_s in (("own", 0.0), ("since_1970", 1_764_180_000.0)):
        write_arrivals(tmp_path / f"{name}.csv", gaps_s + start_s)
        made = from_config("straggler=none", "load=trace", f"load.path={tmp_path}/{name}.csv", "load.queries=null")
        values.append(simulate_seed(made, 0))
    for key in ("simulate/parity/latency_ms/p99", "simulate/rate_qps"):
        assert values[1][key] == pytest.approx(values[0][key], rel=0.01)


def test_a_gap_of_decades_is_refused_with_stragglers_and_simulated_without(tmp_path: Path) -> None:
    write_arrivals(tmp_path / "gap.csv", np.array([0.0, 0.01, 1.7e9]))
    load = ("load=trace", f"load.path={tmp_path}/gap.csv", "load.queries=null")
    assert "straggler.shuffle" in refused(*load, "straggler=shuffle")
    values = simulate_seed(from_config(*load, "straggler=none"), 0)
    assert values["simulate/parity/queries"] == 3


def test_serving_does_not_wait_for_decades(tmp_path: Path) -> None:
    write_arrivals(tmp_path / "gap.csv", np.array([0.0, 0.01, 1.7e9]))
    simulated = simulation(("parity",), "none")
    simulated.load = TraceLoad(str(tmp_path / "gap.csv"))
    simulated.longest_s = LONGEST_S
    with pytest.raises(SettingError, match=r"load: .*19,676 days.*at most 2\.59e\+06 s"):
        simulated.draw(0.02, 0)


def test_a_trace_that_begins_long_after_the_run_is_refused(tmp_path: Path) -> None:
    write_trace(tmp_path / "rows.csv", [Disturbance("slow", 0, 1.7e9, 1.7e9 + 5, 2.0)])
    line = refused("straggler=trace", f"straggler.trace.path={tmp_path}/rows.csv")
    assert "straggler.trace" in line and "1700000000" in line and "from the beginning" in line
