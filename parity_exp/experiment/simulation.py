"""From a config to the arguments of ``parity_exp.simulate``."""

from typing import Any

from omegaconf import DictConfig

from parity_exp.disturbances import Distribution
from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build_checked
from parity_exp.experiment.job import overlaid, resolved
from parity_exp.experiment.needs import declared_needs, settle_places
from parity_exp.experiment.scenario import accuracy_of, scenario_arguments
from parity_exp.experiment.sections import changed_by
from parity_exp.experiment.stored import stored_config
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.simulation import measured_times


def simulated_config(composed: DictConfig) -> DictConfig:
    """What is simulated: the config of this job or, with ``run=``, a trained run's code under this job's scenario.

    Raises:
        ConfigError: something else than the scenario was given beside ``run=``.
        UserError: no such run.
    """
    config = resolved(composed)
    if composed.get("run") is None:
        return config
    trained = RunDirectory.existing(composed.run, "run")
    scenario = changed_by("simulate")
    stored = stored_config(trained, "run", composed, scenario)
    settle_places(stored, trained)
    return overlaid(stored, config, scenario, "run", scenario)


def simulation_arguments(config: DictConfig) -> dict[str, Any]:
    """Arguments of :func:`parity_exp.simulate`, by name.

    Args:
        config: the resolved config.

    Raises:
        ConfigError: a value that cannot be.
        UserError: a file or run directory that is missing or wrong.
    """
    accuracy = _accuracy(config)
    shared = scenario_arguments(config, accuracy)
    section = config.get("simulate")
    if not isinstance(section, DictConfig):
        raise ConfigError(f"simulate={section}: expected its settings, such as simulate.seeds=3")
    times: dict[str, Any] = {
        name: build_checked(section.get(name), f"simulate.{name}", Distribution)  # type: ignore[type-abstract]
        for name in ("service_time", "network", "restart")
    }
    times |= {name: section.get(name) for name in ("backup_ratio", "network_ms", "restart_ms")}
    times["multiplexed_ratio"] = section.get("multiplexed_ratio", 1.0)  # configs of before there was one lack it
    if section.get("calibrate") is not None:
        times["measured"] = measured_times(section.calibrate, "simulate.calibrate")
    else:
        times["service_time_ms"] = _service_time_ms(config)
    shared["code"] = declared_needs(config)
    shared["accuracy"] = accuracy
    return (
        shared | times | {name: section.get(name) for name in ("prefetch", "interrupt_ms", "seeds", "processes", "ray")}
    )


def _accuracy(config: DictConfig) -> list[float] | None:
    """Available and degraded accuracy: as they are given, or as the run of ``run=`` has measured them."""
    given = config.simulate.get("accuracy")
    if given is not None:
        return [float(one) for one in given]
    return None if config.get("run") is None else accuracy_of(RunDirectory.existing(config.run, "run"))


def _service_time_ms(config: DictConfig) -> float:
    """The mean that is given: the simulation's own, or the pool's.

    Raises:
        ConfigError: neither is above 0.
    """
    own_ms = config.simulate.get("service_time_ms")
    key, value = ("pool", config.pool.get("service_time_ms")) if own_ms is None else ("simulate", own_ms)
    if not isinstance(value, int | float) or not value > 0:
        shown = "null" if value is None else value
        raise ConfigError(f"{key}.service_time_ms={shown}: expected a number above 0")
    return float(value)
