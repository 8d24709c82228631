"""What is served, how often, on what and under what: the part of a config that ``serve`` and ``simulate`` share."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from parity_exp.commands.components import build_checked, check_numbers, is_systematic, new_non_systematic_code
from parity_exp.errors import ConfigError
from parity_exp.serving.checks import number, whole
from parity_exp.serving.desk import Queues
from parity_exp.serving.load import ClosedLoop, Load
from parity_exp.serving.policy import BACKUP, Policy
from parity_exp.serving.stragglers import Straggler, compose
from parity_exp.serving.trace import Disturbance

if TYPE_CHECKING:
    from parity_exp.coding import NonSystematicCode

SECTIONS = ("redundancy", "straggler", "load", "pool", "queue", "backup")
"""The parts of the config that say how to serve."""

PATIENCE_S = 60.0
"""Deadline of queries where load.slo_ms is null: nothing waits for ever."""

ARRIVALS = 1
"""Stream of random numbers."""

REHEARSAL_S = 1.0
"""Length of the straggler trace that is made to see whether it can be."""


@dataclass(frozen=True)
class Draw:
    """What chance makes of a scenario; every policy meets it alike.

    Attributes:
        arrivals_s: scheduled arrivals; of a closed loop each client's first.
        trace: the straggler trace.
        service_s: how long a base instance takes for a query.
        rate_qps: mean number of arrivals a second.
    """

    arrivals_s: np.ndarray
    trace: list[Disturbance]
    service_s: float
    rate_qps: float


class Scenario:
    """Policies, load, stragglers, queues and instances, from a config.

    Everything that the config alone shows to be wrong is refused here, before anything is trained or started.

    Args:
        config: the resolved config.

    Raises:
        ConfigError: a value that cannot be.
        UserError: a trace file that is missing or wrong.
    """

    def __init__(self, config: DictConfig) -> None:
        check_numbers(config)
        self.config = config
        self.k: int = config.k
        self.r: int = config.r
        self.seed: int = config.seed
        if not isinstance(config.get("redundancy"), DictConfig) or not config.redundancy:
            raise ConfigError("redundancy: expected a list of policies, such as redundancy=[equal_resources,parity]")
        if not isinstance(config.get("pool"), DictConfig):
            raise ConfigError(f"pool={config.get('pool')}: expected a config group, such as pool=local")
        self.instances = whole("pool.instances", config.pool.get("instances"), 1)
        self.batch_size = whole("pool.batch_size", config.pool.get("batch_size"), 1)
        self.window_s = number("pool.batch_window_ms", config.pool.get("batch_window_ms"), least=0) / 1e3
        self.load = build_checked(config.get("load"), "load", Load)  # type: ignore[type-abstract]
        self.stragglers: dict[str, Straggler] = {
            str(name): build_checked(node, f"straggler.{name}", Straggler)  # type: ignore[type-abstract]
            for name, node in (config.get("straggler") or {}).items()
        }
        self.queues = build_checked(config.get("queue"), "queue", partial)
        made: Any = self.queues.func
        if not isinstance(made, type) or not issubclass(made, Queues):
            raise ConfigError(
                f"queue._target_={config.queue.get('_target_')}: expected a subclass of {Queues.__module__}.Queues"
            )
        self.slo_s = PATIENCE_S if self.load.slo_ms is None else self.load.slo_ms / 1e3
        self.policies = [str(name) for name in config.redundancy]
        self.most_instances = max(
            sum(role.instances for role in self.policy(name).roles(self.instances)) for name in self.policies
        )
        # What a straggler cannot do to so many instances it says when it writes its trace.
        self.rehearsal = compose(self.stragglers, self.most_instances, REHEARSAL_S, self.seed, REHEARSAL_S / 100)

    def policy(self, name: str) -> Policy:
        """A policy at the beginning of a run."""
        node = self.config.redundancy[name]
        kind: type[Policy] = Policy  # type: ignore[type-abstract]
        counts: dict[str, Any] = {"k": self.k, "r": self.r}
        code = self.non_systematic_code(name)
        if code is not None:
            node = OmegaConf.create({key: value for key, value in node.items() if key != "code"})
            counts |= {"order": code.order, "needed": code.needed}
        return build_checked(node, f"redundancy.{name}", kind, **counts)

    def non_systematic_code(self, name: str) -> "NonSystematicCode | None":
        """The code of a policy that says which: its own, or where that is null the run's. None for other policies.

        Raises:
            ConfigError: the run's code is systematic, or the policy's is not a code.
        """
        node = self.config.redundancy[name]
        if not isinstance(node, DictConfig) or "code" not in node:
            return None
        if node.code is not None:
            return new_non_systematic_code(node.code, f"redundancy.{name}.code", self.k)
        if is_systematic(self.config):
            raise ConfigError(
                f"redundancy.{name}.code=null: that is the run's own code, and this run has parity models; take "
                "redundancy=berrut or redundancy=nercc, which bring a code of their own, or a run of code=berrut"
            )
        return new_non_systematic_code(self.config.code, "code", self.k)

    @property
    def model_names(self) -> set[str]:
        """Names of the models that the policies need."""
        roles = [role for name in self.policies for role in self.policy(name).roles(self.instances)]
        return {model for role in roles for model in role.models}

    @property
    def needs_backup(self) -> bool:
        """Whether a policy wants the small model."""
        return BACKUP in self.model_names

    @property
    def think_s(self) -> float | None:
        """Of a closed loop: how long a client waits after an answer."""
        return self.load.think_ms / 1e3 if isinstance(self.load, ClosedLoop) else None

    def draw(self, service_s: float, seed: int) -> Draw:
        """Draw arrivals and stragglers.

        Args:
            service_s: how long a base instance takes for a query.
            seed: what all random numbers follow from.
        """
        load = self.load
        rate_qps = load.rate(service_s, self.instances)
        arrivals_s = load.arrivals(rate_qps, np.random.default_rng([seed, ARRIVALS]))
        # An overloaded run goes on after its last arrival, and a closed loop's end is a guess: be generous.
        expected_s = max(float(arrivals_s[-1]), load.total / rate_qps)
        trace = compose(self.stragglers, self.most_instances, 1.5 * expected_s + 10.0, seed, service_s)
        return Draw(arrivals_s, trace, service_s, rate_qps)
