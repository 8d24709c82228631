"""What is served, how often, on what and under what: the part of a config that ``serve`` and ``simulate`` share."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from parity_exp.disturbances import NotThereError, Straggler, compose
from parity_exp.disturbances.trace import Disturbance
from parity_exp.disturbances.worlds import has, in_order, put_together
from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build_checked, is_systematic, new_non_systematic_code
from parity_exp.experiment.schema import check_config
from parity_exp.load import LONGEST_S, ClosedLoop, Load
from parity_exp.policies.policy import BACKUP, Policy
from parity_exp.policies.queues import Queues

if TYPE_CHECKING:
    from parity_exp.coding import NonSystematicCode

log = logging.getLogger(__name__)

SECTIONS = ("redundancy", "straggler", "load", "pool", "queue", "backup")
"""The parts of the config that say how to serve."""

ARRIVALS = 1
"""Stream of random numbers."""

MOST_MACHINES = 1_000_000

DAY_S = 86_400.0

REHEARSAL_S = 1.0
"""Length of the straggler trace that is made to see whether it can be."""


@dataclass(frozen=True)
class Draw:
    """What chance makes of a scenario; every policy meets what it would meet alone.

    Attributes:
        arrivals_s: scheduled arrivals; of a closed loop each client's first.
        worlds: for each size that a policy's cluster has the straggler trace.
        service_s: how long a base instance takes for a query, alone.
        capacity_qps: queries a second that all base instances can serve together.
        rate_qps: mean number of arrivals a second.
    """

    arrivals_s: np.ndarray
    worlds: Mapping[int, list[Disturbance]]
    service_s: float
    capacity_qps: float
    rate_qps: float

    @property
    def trace(self) -> list[Disturbance]:
        """The traces of all sizes together, as a file holds them."""
        return put_together(self.worlds)


class Scenario:
    """Policies, load, stragglers, queues and instances, from a config.

    Attributes:
        longest_s: what takes longer to arrive is refused.

    Everything that the config alone shows to be wrong is refused here, before anything is trained or started.

    Args:
        config: the resolved config.

    Raises:
        ConfigError: a value that cannot be.
        UserError: a trace file that is missing or wrong.
    """

    longest_s = LONGEST_S

    def __init__(self, config: DictConfig) -> None:
        check_config(config, networks=False)
        self.config = config
        self.k: int = config.k
        self.r: int = config.r
        self.seed: int = config.seed
        if not isinstance(config.get("redundancy"), DictConfig) or not config.redundancy:
            raise ConfigError("redundancy: expected a list of policies, such as redundancy=[equal_resources,parity]")
        if not isinstance(config.get("pool"), DictConfig):
            raise ConfigError(f"pool={config.get('pool')}: expected a config group, such as pool=local")
        self.instances: int = config.pool.instances
        self.batch_size: int = config.pool.batch_size
        self.window_s = config.pool.batch_window_ms / 1e3
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
        resting = [str(name) for name in config.redundancy if self.policy(str(name)).rests_instances]
        if resting and made.rest is Queues.rest:
            log.warning(
                "queue (%s): it cannot let slow instances rest, which is a part of redundancy=%s; give the class the "
                "methods rest and trust, or take queue=single or round_robin", made.__name__, ", ".join(resting),
            )  # fmt: skip
        self.slo_s = inf if self.load.slo_ms is None else self.load.slo_ms / 1e3
        self.policies = [str(name) for name in config.redundancy]
        self.sizes = {
            name: sum(role.instances for role in self.policy(name).roles(self.instances)) for name in self.policies
        }
        self.most_instances = max(self.sizes.values())
        for name, size in self.sizes.items():
            if size > MOST_MACHINES:
                raise ConfigError(f"redundancy.{name}: {size:,} instances, expected at most {MOST_MACHINES:,}")
        # What a straggler cannot do to so many instances it says when it writes its trace.
        self.rehearsal = put_together(self._worlds(REHEARSAL_S, self.seed, REHEARSAL_S / 100))
        self._check_reach()

    def policy(self, name: str) -> Policy:
        """A policy at the beginning of a run."""
        node = self.config.redundancy[name]
        kind: type[Policy] = Policy  # type: ignore[type-abstract]
        counts: dict[str, Any] = {"k": self.k, "r": self.r}
        code = self.non_systematic_code(name)
        if code is not None:
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

    def draw(self, service_s: float, seed: int, capacity_qps: float | None = None) -> Draw:
        """Draw arrivals and stragglers.

        Args:
            service_s: how long a base instance takes for a query, alone; stragglers are scaled by it.
            seed: what all random numbers follow from.
            capacity_qps: queries a second that all base instances can serve together; None: as if each were alone.
        """
        load = self.load
        if capacity_qps is None:
            capacity_qps = self.instances / service_s
        rate_qps = load.rate(self.instances / capacity_qps, self.instances)
        arrivals_s = self._checked(load.arrivals(rate_qps, np.random.default_rng([seed, ARRIVALS])), rate_qps)
        # An overloaded run goes on after its last arrival, and a closed loop's end is a guess: be generous.
        expected_s = max(float(arrivals_s[-1]), load.total / rate_qps)
        duration_s = 1.5 * expected_s + 10.0
        for name, straggler in self.stragglers.items():
            starts_s = [one.start_s for one in straggler.named() if isinstance(one, Disturbance)]
            if starts_s and min(starts_s) > duration_s:
                raise ConfigError(
                    f"straggler.{name}: its first row is at {min(starts_s):.10g} s, and the last query arrives at "
                    f"about {expected_s:.3g} s; times count in seconds from the beginning of the run"
                )
        worlds = self._worlds(duration_s, seed, service_s)
        return Draw(arrivals_s, worlds, service_s, capacity_qps, rate_qps)

    def _checked(self, arrivals_s: np.ndarray, rate_qps: float) -> np.ndarray:
        """Arrivals, where they are times that a run can have.

        Raises:
            ConfigError: they are not.
        """
        load = self.load
        least = load.total if load.open_loop else 1
        if arrivals_s.ndim != 1 or not least <= len(arrivals_s) <= load.total:
            raise ConfigError(
                f"load ({type(load).__name__}): it gave arrivals of shape {arrivals_s.shape} for {load.total:,} queries"
            )
        if not np.isfinite(arrivals_s).all() or arrivals_s[0] < 0 or (np.diff(arrivals_s) < 0).any():
            raise ConfigError(
                f"load ({type(load).__name__}): its arrivals are not ascending times of 0 or more seconds; choose a "
                "rate that can be"
            )
        longest_s = max(float(arrivals_s[-1]), load.total / rate_qps)
        if longest_s > self.longest_s:
            raise ConfigError(
                f"load: at {rate_qps:.3g} queries a second, and with the gaps between them, {load.total:,} queries "
                f"arrive in {longest_s:.3g} s ({longest_s / DAY_S:,.0f} days), expected at most {self.longest_s:.3g} "
                "s; give a higher rate, fewer queries, or an arrival file without such gaps"
            )
        return arrivals_s

    def _worlds(self, duration_s: float, seed: int, service_s: float) -> dict[int, list[Disturbance]]:
        """For each size of a cluster, the largest first, its straggler trace.

        Raises:
            ConfigError: a straggler cannot do what its settings say to a cluster; what is meant for instances that only
                larger ones have is left out of smaller ones.
        """
        worlds: dict[int, list[Disturbance]] = {}
        for size in sorted(set(self.sizes.values()), reverse=True):
            rows: list[Disturbance] = []
            for name, straggler in self.stragglers.items():
                try:
                    rows += compose({name: straggler}, size, duration_s, seed, service_s)
                except NotThereError:
                    if size == self.most_instances:
                        raise
            worlds[size] = in_order(rows)
        return worlds

    def _check_reach(self) -> None:
        """Warn of stragglers that are meant for instances which a cluster does not have.

        Raises:
            ConfigError: no cluster has any of them.
        """
        for name, straggler in self.stragglers.items():
            named = straggler.named()
            if not named:
                continue
            what = "rows" if isinstance(named[0], Disturbance) else "instances"
            reached = {policy: [has(size, one) for one in named] for policy, size in self.sizes.items()}
            lacking = sum(not any(by_policy) for by_policy in zip(*reached.values(), strict=True))
            counts = f"{self.most_instances} instances, from 0 to {self.most_instances - 1}"
            if lacking == len(named):
                raise ConfigError(
                    f"straggler.{name}: none of its {what} is of an instance that there is; the largest cluster has "
                    f"{counts}; raise pool.instances, or leave the straggler out"
                )
            if lacking:
                log.warning(
                    "straggler.%s: %d of its %d %s do nothing, for they are of instances that there are not; the "
                    "largest cluster has %s", name, lacking, len(named), what, counts,
                )  # fmt: skip
            idle = [policy for policy, theirs in reached.items() if not any(theirs)]
            if idle:
                log.warning(
                    "straggler.%s: it does nothing to %s, whose instances are too few for its %s; other policies meet "
                    "it", name, ", ".join(idle), what,
                )  # fmt: skip
