"""Several seeds of a simulation in parallel processes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from parity_exp.experiment.simulation import Simulation, simulate_seed
from parity_exp.process.parallel import Tell, in_parallel


def simulate_seeds(simulation: Simulation, seeds: Sequence[int], folder: Path) -> dict[int, dict[str, float]]:
    """Simulate each seed in a process; return the metrics by seed.

    Args:
        simulation: how.
        seeds: which; recordings are kept of the first.
        folder: where these go.

    Raises:
        Interrupted: Ctrl-C, with the metrics of seeds that were through.
        UserError: a process was killed, as by a system that is short of memory.
    """
    config = OmegaConf.to_container(simulation.config)
    jobs = {seed: (config, seed, None if place else folder) for place, seed in enumerate(seeds)}
    total = len(seeds) * len(simulation.policies) * simulation.load.total
    return in_parallel(_simulate, jobs, simulation.processes, f"{len(seeds)} seeds", total)


def _simulate(config: dict[str, Any], seed: int, folder: Path | None, tell: Tell) -> dict[str, float]:
    made = OmegaConf.create(config)
    assert isinstance(made, DictConfig)
    before = 0

    @contextmanager
    def counted(_: str) -> Iterator[Tell]:
        nonlocal before
        yield lambda answered: tell(before + answered)
        before += simulation.load.total

    simulation = Simulation(made)
    return simulate_seed(simulation, seed, folder, counted)
