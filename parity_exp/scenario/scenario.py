"""Policies, load, stragglers, queues and instances, and what chance makes of them."""

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Literal

import numpy as np

from parity_exp.checks import SettingError, check_setting
from parity_exp.disturbances import NotThereError, Straggler, compose
from parity_exp.disturbances.trace import Disturbance
from parity_exp.disturbances.worlds import has, in_order, put_together
from parity_exp.load import LONGEST_S, Load
from parity_exp.policies.needs import Needs
from parity_exp.policies.policy import Policy, Role
from parity_exp.policies.queues import Queues
from parity_exp.ranges import MOST_INSTANCES, BatchSize, Delay, Few, Frontends, Seed

log = logging.getLogger(__name__)

ARRIVALS = 1
"""Stream of random numbers."""

MOST_MACHINES = 1_000_000

DAY_S = 86_400.0

REHEARSAL_S = 1.0
"""Length of the straggler trace that is made to see whether it can be."""

FrontendSplit = Literal["random", "round_robin"]

MakeQueues = Callable[[Role, int, int], Queues]


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
    """Policies, load, stragglers, queues and instances.

    What cannot work is refused here, before anything is trained, started or drawn.

    Args:
        policies: by name, at the beginning of a run; they are copied for each run and stay as they are.
        load: when queries arrive.
        stragglers: by name; each draws random numbers by the seed and its name.
        instances: m, base instances; a policy says what comes on top.
        batch_size: queries in a batch at most.
        batch_window_ms: a batch that is not full is sent this long after its first query.
        queue: makes the queues of a role, as :class:`~parity_exp.policies.queues.SingleQueue` does.
        seed: what all random numbers follow from.
        longest_s: what takes longer to arrive is refused.
        frontends: how many there are, each with a policy and queues of its own.
        frontend_split: how queries come to them: ``random``, or ``round_robin``, in turn.
        needs: by policy what its code needs to give lost predictions back; policies without one go on as they are.

    Attributes:
        sizes: for each policy how many instances it has.
        most_instances: of the largest cluster.
        warnings: what can be and is hardly meant, a line each.
        rehearsal: a short straggler trace.

    Raises:
        SettingError: what cannot work, in one line.
        UserError: a trace file that is missing or wrong.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        load: Load,
        stragglers: Mapping[str, Straggler],
        instances: int,
        batch_size: int,
        batch_window_ms: float,
        queue: MakeQueues,
        seed: int,
        longest_s: float = LONGEST_S,
        needs: Mapping[str, Needs] | None = None,
        frontends: int = 1,
        frontend_split: FrontendSplit = "random",
    ) -> None:
        check_setting("load", load, Load)
        check_setting("instances", instances, Few if instances < 1 else int)
        if instances > MOST_INSTANCES:
            raise SettingError(f"{{instances}}={instances}: expected at most {MOST_INSTANCES:,}")
        check_setting("batch_size", batch_size, BatchSize)
        check_setting("batch_window_ms", batch_window_ms, Delay)
        check_setting("seed", seed, Seed)
        check_setting("frontends", frontends, Frontends)
        check_setting("frontend_split", frontend_split, FrontendSplit)
        self.made = {name: _told(name, policy, (needs or {}).get(name)) for name, policy in policies.items()}
        self.load = load
        self.stragglers = stragglers
        self.instances = instances
        self.batch_size = batch_size
        self.window_s = batch_window_ms / 1e3
        self.queue = queue
        self.seed = seed
        self.frontends = frontends
        self.frontend_split = frontend_split
        self.longest_s = longest_s
        self.slo_s = inf if load.slo_ms is None else load.slo_ms / 1e3
        self.warnings: list[str] = []
        self._check_queue()
        self.sizes = {
            name: sum(role.instances for role in self.policy(name).roles(instances)) for name in self.policies
        }
        self.most_instances = max(self.sizes.values())
        for name, size in self.sizes.items():
            if size > MOST_MACHINES:
                raise SettingError(f"{{policies.{name}}}: {size:,} instances, expected at most {MOST_MACHINES:,}")
        # What a straggler cannot do to so many instances it says when it writes its trace.
        self.rehearsal = put_together(self._worlds(REHEARSAL_S, seed, REHEARSAL_S / 100))
        self._check_reach()

    def warn(self) -> None:
        """Tell of what can be and is hardly meant."""
        for line in self.warnings:
            log.warning("%s", line)

    @property
    def policies(self) -> list[str]:
        """Their names, in the order of the run."""
        return list(self.made)

    def policy(self, name: str) -> Policy:
        """A policy at the beginning of a run."""
        return copy.deepcopy(self.made[name])

    @property
    def model_names(self) -> set[str]:
        """Names of the models that the policies need."""
        roles = [role for name in self.policies for role in self.policy(name).roles(self.instances)]
        return {model for role in roles for model in role.models}

    def frontend_of(self, seed: int) -> np.ndarray:
        """``(queries,)``, warm-up included: which frontend each query goes to."""
        if self.frontend_split == "round_robin":
            return np.arange(self.load.total) % self.frontends
        return np.random.default_rng([seed, *b"frontends"]).integers(self.frontends, size=self.load.total)

    def draw(self, service_s: float, seed: int, capacity_qps: float | None = None) -> Draw:
        """Draw arrivals and stragglers.

        Args:
            service_s: how long a base instance takes for a query, alone; stragglers are scaled by it.
            seed: what all random numbers follow from.
            capacity_qps: queries a second that all base instances can serve together; None: as if each were alone.

        Raises:
            SettingError: a load or a straggler that comes to what cannot be.
        """
        load = self.load
        if capacity_qps is None:
            capacity_qps = self.instances / service_s
        rate_qps = load.rate(self.instances / capacity_qps, self.instances)
        arrivals_s = self._arrivals(rate_qps, seed)
        # An overloaded run goes on after its last arrival, and a closed loop's end is a guess: be generous.
        expected_s = max(float(arrivals_s[-1]), load.total / rate_qps)
        duration_s = 1.5 * expected_s + 10.0
        for name, straggler in self.stragglers.items():
            starts_s = [one.start_s for one in straggler.named() if isinstance(one, Disturbance)]
            if starts_s and min(starts_s) > duration_s:
                raise SettingError(
                    f"{{straggler.{name}}}: its first row is at {min(starts_s):.10g} s, and the last query arrives at "
                    f"about {expected_s:.3g} s; times count in seconds from the beginning of the run"
                )
        worlds = self._worlds(duration_s, seed, service_s)
        return Draw(arrivals_s, worlds, service_s, capacity_qps, rate_qps)

    def _arrivals(self, rate_qps: float, seed: int) -> np.ndarray:
        """Arrivals, where they are times that a run can have.

        Raises:
            SettingError: they are not.
        """
        load = self.load
        try:
            arrivals_s = load.arrivals(rate_qps, np.random.default_rng([seed, ARRIVALS]))
        except SettingError as error:
            raise error.within("load") from None
        least = load.total if load.open_loop else 1
        if arrivals_s.ndim != 1 or not least <= len(arrivals_s) <= load.total:
            raise SettingError(
                f"{{load}} ({type(load).__name__}): it gave arrivals of shape {arrivals_s.shape} for {load.total:,} "
                "queries"
            )
        if not np.isfinite(arrivals_s).all() or arrivals_s[0] < 0 or (np.diff(arrivals_s) < 0).any():
            raise SettingError(
                f"{{load}} ({type(load).__name__}): its arrivals are not ascending times of 0 or more seconds; choose "
                "a rate that can be"
            )
        longest_s = max(float(arrivals_s[-1]), load.total / rate_qps)
        if longest_s > self.longest_s:
            raise SettingError(
                f"{{load}}: at {rate_qps:.3g} queries a second, and with the gaps between them, {load.total:,} queries "
                f"arrive in {longest_s:.3g} s ({longest_s / DAY_S:,.0f} days), expected at most {self.longest_s:.3g} "
                "s; give a higher rate, fewer queries, or an arrival file without such gaps"
            )
        return arrivals_s

    def _worlds(self, duration_s: float, seed: int, service_s: float) -> dict[int, list[Disturbance]]:
        """For each size of a cluster, the largest first, its straggler trace.

        Raises:
            SettingError: a straggler cannot do what its settings say to a cluster; what is meant for instances that
                only larger ones have is left out of smaller ones.
        """
        worlds: dict[int, list[Disturbance]] = {}
        for size in sorted(set(self.sizes.values()), reverse=True):
            rows: list[Disturbance] = []
            for name, straggler in self.stragglers.items():
                try:
                    rows += compose({name: straggler}, size, duration_s, seed, service_s)
                except NotThereError as error:
                    if size == self.most_instances:
                        raise error.within(f"straggler.{name}") from None
                except SettingError as error:
                    raise error.within(f"straggler.{name}") from None
            worlds[size] = in_order(rows)
        return worlds

    def _check_queue(self) -> None:
        """Refuse what makes no queues, and note queues that cannot do what a policy wants."""
        made: Any = self.queue.func if isinstance(self.queue, partial) else self.queue
        if not isinstance(made, type) or not issubclass(made, Queues):
            shown = f"{made.__module__}.{made.__qualname__}" if callable(made) else repr(made)
            raise SettingError(f"{{queue}}={shown}: expected a subclass of {Queues.__module__}.Queues")
        resting = [name for name in self.policies if self.made[name].rests_instances]
        if resting and made.rest is Queues.rest:
            self.warnings.append(
                f"queue ({made.__name__}): it cannot let slow instances rest, which is a part of {', '.join(resting)}; "
                "give the class the methods rest and trust, or take SingleQueue (queue=single) or RoundRobin "
                "(queue=round_robin)"
            )

    def _check_reach(self) -> None:
        """Note stragglers that are meant for instances which a cluster does not have.

        Raises:
            SettingError: no cluster has any of them.
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
                raise SettingError(
                    f"{{straggler.{name}}}: none of its {what} is of an instance that there is; the largest cluster "
                    f"has {counts}; raise {{instances}}, or leave the straggler out"
                )
            if lacking:
                self.warnings.append(
                    f"straggler.{name}: {lacking} of its {len(named)} {what} do nothing, for they are of instances "
                    f"that there are not; the largest cluster has {counts}"
                )
            idle = [policy for policy, theirs in reached.items() if not any(theirs)]
            if idle:
                self.warnings.append(
                    f"straggler.{name}: it does nothing to {', '.join(idle)}, whose instances are too few for its "
                    f"{what}; other policies meet it"
                )


def _told(name: str, policy: Policy, needs: Needs | None) -> Policy:
    """A policy that knows what its code needs; the one that was given stays as it is.

    Raises:
        SettingError: the policy cannot do with that code.
    """
    if needs is None or not policy.uses_groups or policy.replaces_queries or policy.multiplexes:
        return policy
    told = copy.deepcopy(policy)
    try:
        told.decodes_by(needs)
    except ValueError as error:
        raise SettingError(f"{{policies.{name}}}: {error}") from None
    return told
