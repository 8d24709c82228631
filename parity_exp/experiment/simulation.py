"""How a scenario is simulated, and its simulation for one seed under each redundancy policy in turn."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from parity_exp.checks import number
from parity_exp.disturbances import Distribution, distribution
from parity_exp.disturbances.trace import KILL, SLOW, Disturbance, timelines, write_trace
from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build_checked
from parity_exp.experiment.scenario import Draw, Scenario
from parity_exp.load import write_arrivals
from parity_exp.policies.policy import BACKUP, BASE
from parity_exp.process import interrupts
from parity_exp.process.interrupts import ctrl_c_waits
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.recordings.writer import write_recordings
from parity_exp.simulation import Foresight, Outcome, RandomTimes, Scaled, ServiceTimes, calibration, simulate

PREFIX = "simulate"

"""No time in a config is longer: some 30 years."""

Progress = Callable[[int], None]
Bars = Callable[[str], AbstractContextManager[Progress]]
"""Makes the context of a policy's progress, which is told how many queries have been answered."""


class Simulation(Scenario):
    """How a scenario is simulated, from its config.

    Args:
        config: the resolved config.

    Raises:
        ConfigError: a value that cannot be.
        UserError: a file or run directory that is missing or wrong.
    """

    def __init__(self, config: DictConfig) -> None:
        super().__init__(config)
        section = config.get("simulate")
        if not isinstance(section, DictConfig):
            raise ConfigError(f"simulate={section}: expected its settings, such as simulate.seeds=3")
        self.seeds: int = section.seeds
        self.processes: int = section.processes or os.cpu_count() or 1
        self.prefetch: int = section.prefetch
        self.restart = Scaled(_distribution(section.get("restart"), "simulate.restart"), section.restart_ms / 1e3)
        service = _distribution(section.get("service_time"), "simulate.service_time")
        self.calibration = None if section.get("calibrate") is None else calibration(section.calibrate)
        names = self.model_names
        if self.calibration is None:
            own_ms = section.get("service_time_ms")
            key, value = ("pool", config.pool.get("service_time_ms")) if own_ms is None else ("simulate", own_ms)
            mean_ms = number(f"{key}.service_time_ms", value, above=0)
            ratios: dict[str, float] = {BACKUP: section.backup_ratio}
            self.service: dict[str, Distribution] = {
                name: Scaled(service, mean_ms / 1e3 * ratios.get(name, 1.0)) for name in names
            }
            self.query_s = mean_ms / 1e3 / self.batch_size
        else:
            measured = self.calibration.service
            if BACKUP in names and BACKUP not in measured:
                raise ConfigError(
                    f"simulate.calibrate={section.calibrate}: the run has not served the small model; leave "
                    "redundancy=approximate_backup out"
                )
            # Parity models are as large as the base model: where a run had none, they take its times.
            self.service = {name: measured.get(name, measured[BASE]) for name in names}
            self.query_s = self.calibration.query_s or measured[BASE].expected() / self.batch_size
        self.network = self._network()
        self._refuse_processes(self.rehearsal)

    def _network(self) -> tuple[Distribution, Distribution] | None:
        """How long messages take, there and back; None where they take no time."""
        section = self.config.simulate
        shape = _distribution(section.get("network"), "simulate.network")
        mean_ms = section.get("network_ms")
        if mean_ms is not None:
            mean_s = mean_ms / 1e3
            return (Scaled(shape, mean_s), Scaled(shape, mean_s)) if mean_s else None
        return None if self.calibration is None else (self.calibration.there, self.calibration.back)

    @staticmethod
    def _refuse_processes(trace: list[Disturbance]) -> None:
        """Refuse what slows instances by really running beside them: how much that takes only a machine can tell."""
        for row in trace:
            if row.kind not in (SLOW, KILL):
                raise ConfigError(
                    f"straggler: rows of kind {row.kind} start real processes, which a simulation has none of; choose "
                    "straggler=slowdown, shuffle, degraded, crash or multitenancy_simulated, or give the slowdown that "
                    "they cause by straggler=trace"
                )

    def scene(self, seed: int) -> Draw:
        """Arrivals and stragglers of a seed."""
        measured = self.calibration
        # Of other numbers of instances nobody has measured what they serve together.
        same = measured is not None and measured.instances == self.instances
        draw = self.draw(self.query_s, seed, measured.capacity_qps if measured is not None and same else None)
        for trace in draw.worlds.values():
            self._refuse_processes(trace)
        return draw

    def simulate(self, name: str, draw: Draw, seed: int, outcome: Outcome, tell: Progress) -> None:
        """Simulate one policy; what happens goes to ``outcome``, also when interrupted."""
        policy = self.policy(name)
        instances = self.sizes[name]
        trace = draw.worlds[instances]
        there_s, back_s = self._messages(seed)
        service = ServiceTimes(self.service, timelines(trace, instances), seed)
        if policy.needs_foresight:
            policy.foresee = Foresight(service, trace, self.restart.expected(), instances)
        simulate(
            policy,
            draw.arrivals_s,
            service,
            self.instances,
            trace=trace,
            restart_s=RandomTimes(self.restart, [seed, *b"restart"]),
            there_s=there_s,
            back_s=back_s,
            queues=self.queues,
            prefetch=self.prefetch,
            batch_size=self.batch_size,
            window_s=self.window_s,
            slo_s=self.slo_s,
            think_s=self.think_s,
            total=self.load.total,
            progress=tell,
            outcome=outcome,
        )

    def _messages(self, seed: int) -> tuple[RandomTimes | None, RandomTimes | None]:
        """How long messages take, there and back."""
        if self.network is None:
            return None, None
        there, back = self.network
        return RandomTimes(there, [seed, *b"there"]), RandomTimes(back, [seed, *b"back"])

    def metrics(self, name: str, outcome: Outcome) -> dict[str, float]:
        """The metrics of a policy, by their keys."""
        queries = outcome.queries(self.load.warmup)
        metrics = serving_metrics(queries, outcome.lost, outcome.duplicates) | outcome.costs()
        metrics |= {"instances": outcome.instances, "extra_instances": outcome.instances - self.instances}
        return {f"{PREFIX}/{name}/{key}": value for key, value in metrics.items()}


def _distribution(node: Any, key: str) -> Distribution:
    """A distribution with a mean, which it is scaled by.

    Raises:
        ConfigError: it has no finite mean above 0, or is wrong otherwise.
    """
    try:
        built = build_checked(node, key, Distribution)  # type: ignore[type-abstract]
    except ConfigError as error:
        # Distributions name the key that they were made for first.
        raise ConfigError(str(error).replace(distribution.KEY, key)) from None
    if not 0 < built.expected() < float("inf"):
        raise ConfigError(f"{key}: a distribution with mean {built.expected():g}; expected a finite one above 0")
    return built


def simulate_seed(simulation: Simulation, seed: int, folder: Path | None, bars: Bars) -> dict[str, float]:
    """Simulate every policy for one seed; return the metrics.

    Args:
        simulation: how.
        seed: of all random numbers.
        folder: where recordings go, also those of an interrupted policy; None: they are not kept.
        bars: tell of progress.
    """
    draw = simulation.scene(seed)
    if folder is not None:
        write_trace(RunDirectory(folder).trace, draw.trace)
        write_arrivals(RunDirectory(folder).arrivals, draw.arrivals_s)
    metrics = {
        f"{PREFIX}/service_time_ms": draw.service_s * 1e3,
        f"{PREFIX}/rate_qps": draw.rate_qps,
        f"{PREFIX}/utilisation": draw.rate_qps / draw.capacity_qps,
    }
    for name in simulation.policies:
        interrupts.check()
        outcome = Outcome(simulation.load.total)
        try:
            with bars(name) as tell:
                simulation.simulate(name, draw, seed, outcome, tell)
        finally:
            with ctrl_c_waits():
                if folder is not None and outcome.now_s:
                    write_recordings(folder, name, outcome.queries(simulation.load.warmup), outcome.tasks())
        metrics |= simulation.metrics(name, outcome)
    return metrics
