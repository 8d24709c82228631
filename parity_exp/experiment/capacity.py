"""From a config with objectives to the arguments of ``parity_exp.plan_capacity``."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from parity_exp.disturbances import Straggler
from parity_exp.errors import ConfigError
from parity_exp.experiment.components import takes_whole_numbers
from parity_exp.experiment.scenario import stragglers
from parity_exp.experiment.schema import check_config
from parity_exp.experiment.simulation import simulation_arguments

OBJECTIVES = ("slo_ms", "slo_times_p50")

SETTINGS = ("percentile", "most_instances", "least_utilisation", "precision")


def is_plan(config: DictConfig) -> bool:
    """Whether a config asks for a capacity plan."""
    section = config.get("plan")
    return isinstance(section, DictConfig) and any(section.get(name) is not None for name in OBJECTIVES)


def plan_arguments(config: DictConfig) -> dict[str, Any]:
    """Arguments of :func:`parity_exp.plan_capacity`, by name.

    Args:
        config: the resolved config.

    Raises:
        ConfigError: a value that cannot be.
        UserError: a file or run directory that is missing or wrong.
    """
    check_config(config, networks=False)
    section = config.plan
    per_instance = _growing(config)
    grown = Grown(config, per_instance)
    arguments = simulation_arguments(grown.config(config.pool.instances))
    del arguments["accuracy"], arguments["interrupt_ms"]  # a plan is about instances as they are, and time alone
    objectives = {name: OmegaConf.to_object(OmegaConf.create({"it": section.get(name)}))["it"] for name in OBJECTIVES}  # type: ignore[call-overload,index]
    if per_instance:
        arguments["straggler"] = grown
    return arguments | objectives | {name: section.get(name) for name in SETTINGS}


class Grown:
    """Stragglers of a cluster of so many machines: values of ``plan.per_instance`` times their number.

    Args:
        config: the resolved config.
        per_instance: a value a machine by its key.
    """

    def __init__(self, config: DictConfig, per_instance: Mapping[str, float]) -> None:
        self._config = config
        self._per_instance = per_instance

    def config(self, machines: int) -> DictConfig:
        """The config of a cluster of so many machines."""
        grown = self._config.copy()
        for key, share in self._per_instance.items():
            value = share * machines
            node, _, name = key.rpartition(".")
            whole_number = takes_whole_numbers(OmegaConf.select(self._config, node), name)
            OmegaConf.update(grown, key, max(1, round(value)) if whole_number else value)
        return grown

    def __call__(self, machines: int) -> dict[str, Straggler]:
        """The stragglers by name.

        Raises:
            ConfigError: they cannot be on so many machines.
        """
        return stragglers(self.config(machines))


def _growing(config: DictConfig) -> dict[str, float]:
    """``plan.per_instance``: a value a machine by its key."""
    section = config.plan.get("per_instance") or {}
    shares = {str(key): value for key, value in section.items()}
    for key in shares:
        if not key.startswith("straggler.") or OmegaConf.select(config, key.rpartition(".")[0]) is None:
            chosen = ", ".join(config.get("straggler") or {}) or "none"
            raise ConfigError(
                f"plan.per_instance: {key} is no value of a straggler that was chosen ({chosen}); expected one such as "
                "straggler.shuffle.transfers"
            )
    return shares
