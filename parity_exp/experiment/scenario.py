"""From a config to the objects that ``serve`` and ``simulate`` share: policies, load, stragglers, queues."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from parity_exp.disturbances import Straggler
from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build_checked, is_systematic, new_non_systematic_code
from parity_exp.experiment.schema import check_config
from parity_exp.load import Load
from parity_exp.policies.ejection import Ejection
from parity_exp.policies.policy import Policy
from parity_exp.recordings.run_directory import RunDirectory

if TYPE_CHECKING:
    from parity_exp.coding import NonSystematicCode


def scenario_arguments(config: DictConfig, accuracy: Sequence[float] | None = None) -> dict[str, Any]:
    """Arguments of :class:`~parity_exp.scenario.Scenario`, by name, as ``serve`` and ``simulate`` take them.

    Args:
        config: the resolved config.
        accuracy: available and degraded accuracy of the code; None: nothing is known.

    Raises:
        ConfigError: a value that cannot be.
        UserError: a trace file that is missing or wrong.
    """
    check_config(config, networks=False)
    if not isinstance(config.get("redundancy"), DictConfig) or not config.redundancy:
        raise ConfigError("redundancy: expected a list of policies, such as redundancy=[equal_resources,parity]")
    if not isinstance(config.get("pool"), DictConfig):
        raise ConfigError(f"pool={config.get('pool')}: expected a config group, such as pool=local")
    return {
        "load": build_checked(config.get("load"), "load", Load),  # type: ignore[type-abstract]
        "straggler": stragglers(config),
        "queue": build_checked(config.get("queue"), "queue", partial),
        "policies": {str(name): policy(config, str(name), accuracy) for name in config.redundancy},
        "instances": config.pool.instances,
        "batch_size": config.pool.batch_size,
        "batch_window_ms": config.pool.batch_window_ms,
        "seed": config.seed,
        # Configs of earlier runs have one frontend and do not say so.
        "frontends": config.get("frontends", 1),
        "frontend_split": config.get("frontend_split", "random"),
    }


def accuracy_of(run: RunDirectory) -> list[float] | None:
    """Available and degraded accuracy that a run has measured; None where it has not."""
    metrics = run.read_metrics() if run.metrics.is_file() else {}
    keys = ("test/available_accuracy", "test/degraded_accuracy")
    return [metrics[key] for key in keys] if all(key in metrics for key in keys) else None


def stragglers(config: DictConfig) -> dict[str, Straggler]:
    """The stragglers by name."""
    return {
        str(name): build_checked(node, f"straggler.{name}", Straggler)  # type: ignore[type-abstract]
        for name, node in (config.get("straggler") or {}).items()
    }


def policy(config: DictConfig, name: str, accuracy: Sequence[float] | None = None) -> Policy:
    """A policy at the beginning of a run; one that can weigh accuracies, and is given none, gets the code's."""
    kind: type[Policy] = Policy  # type: ignore[type-abstract]
    counts: dict[str, Any] = {"k": config.k, "r": config.r}
    code = non_systematic_code(config, name)
    if code is not None:
        counts |= {"order": code.order, "needed": code.needed}
    node = config.redundancy[name]
    if isinstance(node, DictConfig) and "accuracy" in node and node.accuracy is None:
        counts["accuracy"] = accuracy
    made = build_checked(node, f"redundancy.{name}", kind, **counts)
    if isinstance(node, DictConfig) and node.get("ejection") is not None:
        made.ejection = build_checked(node.ejection, f"redundancy.{name}.ejection", Ejection)
    return made


def non_systematic_code(config: DictConfig, name: str) -> "NonSystematicCode | None":
    """The code of a policy that says which: its own, or where that is null the run's. None for other policies.

    Raises:
        ConfigError: the run's code is systematic, or the policy's is not a code.
    """
    node = config.redundancy[name]
    if not isinstance(node, DictConfig) or "code" not in node:
        return None
    if node.code is not None:
        return new_non_systematic_code(node.code, f"redundancy.{name}.code", config.k)
    if is_systematic(config):
        raise ConfigError(
            f"redundancy.{name}.code=null: that is the run's own code, and this run has parity models; take "
            "redundancy=berrut or redundancy=nercc, which bring a code of their own, or a run of code=berrut"
        )
    return new_non_systematic_code(config.code, "code", config.k)
