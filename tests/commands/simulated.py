"""Simulations of composed configs, without a job around them."""

from contextlib import nullcontext
from pathlib import Path

from omegaconf import DictConfig

from parity_exp.experiment.keys import naming_keys
from parity_exp.experiment.simulation import simulation_arguments
from parity_exp.simulation import session
from parity_exp.simulation.simulation import Simulation
from parity_exp.simulation.times import Times

OF_TIMES = (
    "service_time_ms", "service_time", "backup_ratio", "multiplexed_ratio", "network_ms", "network", "restart_ms",
    "restart", "measured",
)  # fmt: skip


def simulation_of(config: DictConfig) -> Simulation:
    """What a resolved config simulates; says what it warns of."""
    given = simulation_arguments(config)
    times = {name: given.pop(name) for name in OF_TIMES if name in given}
    others = {name: value for name, value in given.items() if name not in ("straggler", "seeds", "processes", "ray")}
    with naming_keys():
        made = Simulation(**others, stragglers=given["straggler"], times=Times.of(**times))
    made.warn()
    return made


def simulate_seed(made: Simulation, seed: int, folder: Path | None = None) -> dict[str, float]:
    """The metrics of one seed."""
    return session.simulate_seed(made, seed, folder, lambda _: nullcontext(lambda _: None)).metrics
