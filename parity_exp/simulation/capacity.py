"""Capacity planning: the fewest machines on which each policy keeps an objective of latency, found by simulating sizes.

A size is simulated as a cluster of its own: base instances, what the policy adds, and stragglers, which may grow with
all of them. All sizes meet the same arrivals and service times, and stragglers are nested: what neighbouring sizes can
share they do. The latencies of all seeds together give a size's percentile. A query that got the default prediction,
or an error, or nothing, is later than any objective.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parity_exp.checks import SettingError
from parity_exp.disturbances import Straggler
from parity_exp.errors import ConfigError
from parity_exp.load import Load
from parity_exp.policies.needs import Needs
from parity_exp.policies.policy import BASE, AnswerSource, Policy
from parity_exp.process.parallel import Interrupted, Tell
from parity_exp.scenario.scenario import FrontendSplit, MakeQueues
from parity_exp.simulation.capacity_search import CapacitySearch, grows, percentile
from parity_exp.simulation.outcome import Outcome
from parity_exp.simulation.simulation import Simulation
from parity_exp.simulation.times import Times

PREFIX = "plan"

DRAWS = 100_001
"""Service times that the median and the shortest one are taken from."""

BEYOND = 10
"""At least so many queries lie beyond the percentile."""

RUN_LENGTH = 10
"""A simulation is at least so many times as long as the longest objective, so that an overload shows."""

ON_TIME = (AnswerSource.OWN, AnswerSource.RECONSTRUCTED, AnswerSource.BACKUP)

StragglersAt = Callable[[int], Mapping[str, Straggler]]
"""The stragglers of a cluster of so many machines."""


@dataclass(frozen=True)
class Cluster:
    """What is the same of clusters of every size.

    Attributes:
        policies: by name, at the beginning of a run.
        load: when queries arrive.
        stragglers_at: the stragglers of a cluster of so many machines.
        batch_size: queries in a batch at most.
        batch_window_ms: a batch that is not full is sent this long after its first query.
        queue: makes the queues of a role.
        seed: of all random numbers.
        times: how long tasks and messages take.
        prefetch: tasks that an instance may hold at a time.
        needs: by policy what its code needs to give lost predictions back.
        frontends: how many there are.
        frontend_split: how queries come to them.
    """

    policies: Mapping[str, Policy]
    load: Load
    stragglers_at: StragglersAt
    batch_size: int
    batch_window_ms: float
    queue: MakeQueues
    seed: int
    times: Times
    prefetch: int
    needs: Mapping[str, Needs] = field(default_factory=dict)
    frontends: int = 1
    frontend_split: FrontendSplit = "random"

    def simulation(self, policies: Mapping[str, Policy], base_instances: int, machines: int) -> Simulation:
        """The simulation of one size.

        Raises:
            SettingError: it cannot be.
        """
        return Simulation(
            policies,
            self.load,
            self.stragglers_at(machines),
            base_instances,
            self.batch_size,
            self.batch_window_ms,
            self.queue,
            self.seed,
            times=self.times,
            prefetch=self.prefetch,
            code={name: needs for name, needs in self.needs.items() if name in policies},
            frontends=self.frontends,
            frontend_split=self.frontend_split,
        )


@dataclass(frozen=True)
class Size:
    """What a simulation of one size has shown.

    Attributes:
        base_instances: m.
        machines: with what the policy adds.
        percentile_ms: of latency; infinity where too many queries had no answer, or latency grew without end.
        p50_ms: the median of latency.
        utilisation: share of all machines that the queries alone, each served once and undisturbed, keep busy.
        busy: share of the time that machines worked.
        reconstructed: share of answers that were.
        settled: False where latency grew without end.
    """

    base_instances: int
    machines: int
    percentile_ms: float
    p50_ms: float
    utilisation: float
    busy: float
    reconstructed: float
    settled: bool


@dataclass
class Found:
    """What the search for one policy has come to.

    Attributes:
        sizes: what was simulated, in that order.
        fewest: by objective in ms the size on which it is kept; None where it is on none.
        why: by objective why it is not, in words.
    """

    sizes: list[Size] = field(default_factory=list)
    fewest: dict[float, Size | None] = field(default_factory=dict)
    why: dict[float, str] = field(default_factory=dict)


class Plan:
    """What is planned.

    Args:
        cluster: what is the same of all sizes.
        instances: base instances of the cluster on which it is tried whether everything can be.
        slo_ms: objectives in milliseconds.
        slo_times_p50: objectives in medians of a query that nothing delays.
        percentile: of latency, that is to keep them.
        most_instances: machines at most, of base and other models.
        least_utilisation: clusters that the queries keep less busy are not tried.
        precision: an answer may be above the fewest by this share.
        seeds: simulations of each size.

    Raises:
        SettingError: a value that cannot be, or a load that has no rate of its own.
    """

    def __init__(
        self,
        cluster: Cluster,
        instances: int,
        slo_ms: float | Sequence[float] | None,
        slo_times_p50: float | Sequence[float] | None,
        percentile: float,
        most_instances: int,
        least_utilisation: float,
        precision: float,
        seeds: int,
    ) -> None:
        self.cluster = cluster
        self.percent = percentile
        self.most_machines = most_instances
        self.precision = precision
        self.simulation = cluster.simulation(cluster.policies, instances, instances)
        self.policies = self.simulation.policies
        self.seeds = range(cluster.seed, cluster.seed + seeds)
        self.rate_qps = self._rate_qps()
        self.service_s = self.simulation.query_s
        self.busy_instances = self.rate_qps * self.service_s
        self.most_machines = min(self.most_machines, math.ceil(self.busy_instances / least_utilisation))
        self.p50_ms = float(np.median(self._undisturbed_ms([BASE])))
        self.slos_ms = self._objectives({"slo_ms": slo_ms, "slo_times_p50": slo_times_p50})
        self._check_length()

    @property
    def percentile_name(self) -> str:
        return f"p{self.percent:g}"

    def machines(self, policy: str, base_instances: int) -> int:
        """How many machines a policy has with m base instances."""
        return sum(role.instances for role in self.simulation.policy(policy).roles(base_instances))

    def most(self, policy: str) -> int:
        """The most base instances with which a policy has no more machines than there may be; 0: none."""
        sizes = range(1, self.most_machines + 1)
        return bisect_right(sizes, self.most_machines, key=lambda size: self.machines(policy, size))

    def guess(self, policy: str) -> int:
        """The fewest base instances with which base models can serve all queries, if nothing disturbs them."""

        def can_serve(size: int) -> int:
            roles = self.simulation.policy(policy).roles(size)
            return sum(role.instances for role in roles if BASE in role.models)

        return 1 + bisect_left(range(1, self.most(policy)), math.ceil(self.busy_instances), key=can_serve)

    def shortest_ms(self, policy: str) -> float:
        """No answer comes sooner than this, of whatever model."""
        models = {model for role in self.simulation.policy(policy).roles(1) for model in role.models}
        return float(self._undisturbed_ms(sorted(models)).min())

    def size(self, policy: str, base_instances: int) -> Simulation:
        """The simulation of one size.

        Raises:
            SettingError: it cannot be.
        """
        machines = self.machines(policy, base_instances)
        return self.cluster.simulation({policy: self.cluster.policies[policy]}, base_instances, machines)

    def _undisturbed_ms(self, models: Sequence[str]) -> NDArray[np.float64]:
        """``(models, DRAWS)``: how long queries take that find their instances idle and meet no straggler."""
        random = np.random.default_rng([self.cluster.seed, *b"undisturbed"])
        times_s = np.stack([self.simulation.service[model].draw(random, DRAWS) for model in models])
        for way in self.simulation.times.network or ():
            times_s += way.draw(random, DRAWS)
        return times_s * 1e3

    def _rate_qps(self) -> float:
        load = self.cluster.load
        small, large = (load.rate(self.simulation.query_s, size) for size in (1, 2))
        if not load.open_loop or small != large:
            raise SettingError(
                "{load}: a plan needs so many queries a second on whatever cluster; give {load.rate_qps}, such as "
                "{load.rate_qps}=2000, and no {load.utilisation} or clients"
            )
        if small * self.simulation.query_s > self.most_machines:
            busy = math.ceil(small * self.simulation.query_s)
            raise SettingError(
                f"{{most_instances}}={self.most_machines}: {small:g} queries a second keep {busy} instances busy; "
                "raise it or lower {load.rate_qps}"
            )
        return small

    def _objectives(self, objectives: Mapping[str, float | Sequence[float] | None]) -> list[float]:
        given = {name: values for name, values in objectives.items() if values is not None}
        if len(given) != 1:
            raise SettingError("{slo_ms} and {slo_times_p50}: give one of them and leave the other {null}")
        ((name, values),) = given.items()
        listed = [float(values)] if isinstance(values, int | float) else list(values)
        if not listed:
            raise SettingError(f"{{{name}}}=[]: expected a list of objectives, such as {{{name}}}=[3]")
        unit_ms = self.p50_ms if name == "slo_times_p50" else 1.0
        slos_ms = sorted({value * unit_ms for value in listed})
        deadline_ms = self.cluster.load.slo_ms
        if deadline_ms is not None and slos_ms[-1] > deadline_ms:
            raise SettingError(
                f"{{load.slo_ms}}={deadline_ms:g}: then queries get the default prediction, before the objective of "
                f"{slos_ms[-1]:g} ms; set {{load.slo_ms}}={{null}}"
            )
        return slos_ms

    def _check_length(self) -> None:
        """Refuse a load of too few queries to tell anything."""
        load, seeds = self.cluster.load, len(self.seeds)
        beyond = 1 - self.percent / 100
        needed = math.ceil(round(BEYOND / beyond / seeds, 6)) if beyond else 1
        if load.queries < needed:
            raise SettingError(
                f"{{load.queries}}={load.queries}: fewer than {BEYOND} queries would lie beyond "
                f"{self.percentile_name}; give {needed} or more"
            )
        needed = math.ceil(RUN_LENGTH * self.slos_ms[-1] / 1e3 * self.rate_qps)
        if load.queries < needed:
            raise SettingError(
                f"{{load.queries}}={load.queries}: at {self.rate_qps:g} queries a second that is over before an "
                f"overload shows; for an objective of {self.slos_ms[-1]:g} ms give {needed} or more"
            )

    # ---- what it came to

    def answers(self, found: Mapping[str, Found]) -> pd.DataFrame:
        """A row a policy and objective."""
        rows = [
            self._answer(policy, found[policy], slo)
            for policy in self.policies
            if policy in found
            for slo in sorted(found[policy].fewest)
        ]
        return pd.DataFrame(rows)

    def sizes(self, found: Mapping[str, Found]) -> pd.DataFrame:
        """A row a size that was simulated."""
        return pd.DataFrame(
            [
                {"policy": policy, **asdict(size)}
                for policy in self.policies
                if policy in found
                for size in sorted(found[policy].sizes, key=lambda size: size.machines)
            ]
        )

    def _answer(self, policy: str, found: Found, slo_ms: float) -> dict[str, Any]:
        size = found.fewest[slo_ms]
        row = {
            "policy": policy,
            "percentile": self.percent,
            "slo_ms": slo_ms,
            "slo_times_p50": slo_ms / self.p50_ms,
            "rate_qps": self.rate_qps,
            "busy_machines": self.busy_instances,
        }
        if size is None:
            return row | {"not_met": found.why[slo_ms]}
        values = asdict(size)
        del values["settled"]
        return row | values | {"not_met": None}

    def metrics(self, answers: pd.DataFrame, sizes: pd.DataFrame) -> dict[str, float]:
        """``plan/<policy>/machines`` for the first objective, and the same for each below the objective's name."""
        metrics: dict[str, float] = {
            f"{PREFIX}/rate_qps": self.rate_qps,
            f"{PREFIX}/service_time_ms": self.service_s * 1e3,
            f"{PREFIX}/p50_ms": self.p50_ms,
            f"{PREFIX}/percentile": self.percent,
            f"{PREFIX}/simulations": len(sizes) * len(self.seeds),
        }
        for row in answers.to_dict("records"):
            if row.get("machines", math.nan) != row.get("machines", math.nan):
                continue  # not met
            below = f"slo_{row['slo_ms']:g}_ms/"
            for part in ("", below) if row["slo_ms"] == self.slos_ms[0] else (below,):
                for name in ("machines", "base_instances", "percentile_ms", "p50_ms"):
                    metrics[f"{PREFIX}/{row['policy']}/{part}{name}"] = float(row[name])
        return metrics


def search_sizes(plan: Plan, policy: str, tell: Tell) -> Found:
    """Find the fewest machines of one policy for each objective.

    Args:
        plan: what is planned.
        policy: its name.
        tell: of progress, in queries simulated.

    Raises:
        Interrupted: with what was found until then.
    """
    return _Search(plan, policy, tell).run()


class _Search:
    """The search for one policy."""

    def __init__(self, plan: Plan, policy: str, tell: Tell) -> None:
        self.plan = plan
        self.policy = policy
        self.tell = tell
        self.simulated = 0
        self.found = Found()

    @cached_property
    def capacity(self) -> CapacitySearch:
        plan, policy = self.plan, self.policy
        return CapacitySearch(self._percentile_ms, plan.most(policy), plan.guess(policy), plan.precision)

    def run(self) -> Found:
        plan, found = self.plan, self.found
        shortest_ms = plan.shortest_ms(self.policy)
        try:
            # The easy ones first: they try small sizes, some of which keep more than they were asked for.
            for slo_ms in reversed(plan.slos_ms):
                found.fewest[slo_ms] = None
                if slo_ms < shortest_ms:
                    found.why[slo_ms] = f"no answer takes less than {shortest_ms:.3g} ms"
                elif not plan.most(self.policy):
                    found.why[slo_ms] = f"it needs more than {plan.most_machines:,} machines"
                else:
                    self._look(slo_ms)
        except KeyboardInterrupt:
            found.fewest.pop(slo_ms)
            raise Interrupted(found) from None
        return found

    def _look(self, slo_ms: float) -> None:
        size = self.capacity.fewest(slo_ms)
        if size is not None:
            (self.found.fewest[slo_ms],) = (one for one in self.found.sizes if one.base_instances == size)
            return
        most = max(self.found.sizes, key=lambda one: one.machines)
        reached = f"{self.plan.percentile_name} {most.percentile_ms:.3g} ms" if most.settled else "overloaded"
        self.found.why[slo_ms] = f"not with {most.machines:,} machines ({reached})"

    def _percentile_ms(self, base_instances: int) -> float:
        size = self._simulate(base_instances)
        self.found.sizes.append(size)
        return size.percentile_ms

    def _tell(self, queries: int) -> None:
        """A simulation has come so far."""
        self.tell(self.simulated + queries)

    def _simulate(self, base_instances: int) -> Size:
        """Simulate one size with every seed."""
        plan = self.plan
        machines = plan.machines(self.policy, base_instances)
        try:
            simulation = plan.size(self.policy, base_instances)
        except (SettingError, ConfigError):
            # The settings can be, of larger clusters: transfers go between two instances, and here is only one.
            return Size(base_instances, machines, math.inf, math.inf, plan.busy_instances / machines, 1.0, 0.0, False)
        latencies_ms, busy, sources = [], [], []
        for seed in plan.seeds:
            outcome = Outcome(simulation.load.total)
            draw = simulation.scene(seed)
            simulation.simulate(self.policy, draw, seed, outcome, self._tell)
            self.simulated += simulation.load.total
            source = outcome.source[simulation.load.warmup :]
            latency_ms = outcome.latency_ms[simulation.load.warmup :]
            latencies_ms.append(np.where(np.isin(source, ON_TIME), latency_ms, math.inf))
            sources.append(source)
            busy.append(outcome.costs()["busy"])
        settled = not any(map(grows, latencies_ms))
        all_ms = np.concatenate(latencies_ms)
        return Size(
            base_instances=base_instances,
            machines=machines,
            percentile_ms=percentile(all_ms, plan.percent) if settled else math.inf,
            p50_ms=percentile(all_ms, 50),
            utilisation=plan.busy_instances / machines,
            busy=float(np.mean(busy)),
            reconstructed=float(np.mean(np.concatenate(sources) == AnswerSource.RECONSTRUCTED)),
            settled=settled,
        )
