"""A scenario in simulated time: what one seed makes of it, under each policy."""

from collections.abc import Mapping, Sequence
from typing import Any

from parity_exp.checks import SettingError, check_setting
from parity_exp.disturbances.trace import GONE, KILL, SLOW, Disturbance, timelines
from parity_exp.load import Load
from parity_exp.policies.policy import Policy
from parity_exp.process.parallel import Tell
from parity_exp.ranges import Delay, Prefetch
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.metric_keys import SIMULATED
from parity_exp.recordings.overall_accuracy import OVERALL, overall_accuracy
from parity_exp.scenario.given import GivenNeeds, needs_by_name
from parity_exp.scenario.scenario import Draw, FrontendSplit, MakeQueues, Scenario
from parity_exp.simulation.amounts import Amounts
from parity_exp.simulation.cluster import simulate
from parity_exp.simulation.drawn_ahead import DrawnAhead, DrawnForTasks
from parity_exp.simulation.foresight import Foresight
from parity_exp.simulation.outcome import Outcome
from parity_exp.simulation.random_times import ServiceTimes
from parity_exp.simulation.times import Times
from parity_exp.simulation.twin import TwinInTime


class Simulation(Scenario):
    """A scenario without models, in simulated time.

    Args:
        times: how long tasks and messages take.
        prefetch: tasks that an instance may hold at a time, the one it works at included.
        code: says what policies need to give lost predictions back; see :func:`parity_exp.simulate`.
        interrupt_ms: how long after it was told an instance has stopped at work; None: instances cannot.
        accuracy: of the base model's own predictions, and of reconstructed ones; None: nothing is known of them.

    The others are those of :class:`~parity_exp.scenario.Scenario`.

    Raises:
        SettingError: what cannot work, in one line.
        UserError: a trace file that is missing or wrong.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        load: Load,
        stragglers: Mapping[str, Any],
        instances: int,
        batch_size: int,
        batch_window_ms: float,
        queue: MakeQueues,
        seed: int,
        *,
        times: Times,
        prefetch: int = 1,
        code: GivenNeeds = None,
        accuracy: Sequence[float] | None = None,
        frontends: int = 1,
        frontend_split: FrontendSplit = "random",
        interrupt_ms: float | None = None,
    ) -> None:
        needs = needs_by_name(code, policies)
        super().__init__(
            policies, load, stragglers, instances, batch_size, batch_window_ms, queue, seed,
            needs=needs, frontends=frontends, frontend_split=frontend_split,
        )  # fmt: skip
        check_setting("prefetch", prefetch, Prefetch)
        self.times = times
        self.prefetch = prefetch
        check_setting("interrupt_ms", interrupt_ms, Delay | None)
        if interrupt_ms is not None and prefetch > 1:
            raise SettingError(
                f"{{interrupt_ms}}={interrupt_ms:g}: with {{prefetch}}={prefetch} instances have tasks behind the one "
                "that they work at, and when those would begin is not simulated; take {prefetch}=1"
            )
        if interrupt_ms is not None and frontends > 1:
            raise SettingError(
                f"{{interrupt_ms}}={interrupt_ms:g}: with {{frontends}}={frontends} tasks of several wait at an "
                "instance, and when those would begin is not simulated; take {frontends}=1"
            )
        self.interrupt_s = None if interrupt_ms is None else interrupt_ms / 1e3
        self.accuracy = _checked_accuracy(accuracy)
        self.service = times.of_models(self.model_names)
        self.query_s = times.query_seconds(batch_size)
        self.capacity_qps = times.capacity(instances)
        self.amounts: Amounts | None = None
        service_s = load.service_times()
        if service_s is not None:
            self.amounts = Amounts(service_s, times.task_s)
            self.query_s, self.capacity_qps = float(service_s.mean()), None
        _refuse_processes(self.rehearsal)

    def scene(self, seed: int) -> Draw:
        """Arrivals and stragglers of a seed."""
        draw = self.draw(self.query_s, seed, self.capacity_qps)
        for trace in draw.worlds.values():
            _refuse_processes(trace)
        return draw

    def simulate(self, name: str, draw: Draw, seed: int, outcome: Outcome, tell: Tell) -> None:
        """Simulate one policy; what happens goes to ``outcome``, also when interrupted."""
        # Who knows in advance what will be sees all queries.
        frontends = 1 if self.made[name].needs_foresight else self.frontends
        policies = [self.policy(name) for _ in range(frontends)]
        instances = self.sizes[name]
        trace = draw.worlds[instances]
        there_s, back_s = self._messages(seed)
        service = ServiceTimes(self.service, timelines(trace, instances), seed, self.amounts)
        restart_s = DrawnAhead(self.times.restart, [seed, *b"restart"]).at
        for policy in policies:
            if policy.needs_foresight:
                policy.foresee = Foresight(service, trace, restart_s, instances)
            if policy.needs_replay:
                policy.replay = TwinInTime()
        simulate(
            policies,
            draw.arrivals_s,
            service,
            self.instances,
            trace=trace,
            restart_s=restart_s,
            there_s=there_s,
            back_s=back_s,
            queues=self.queue,
            prefetch=self.prefetch,
            batch_size=self.batch_size,
            window_s=self.window_s,
            slo_s=self.slo_s,
            think_s=self.load.think_s,
            total=self.load.total,
            seed=seed,
            frontend_of=self.frontend_of(seed) if frontends > 1 else None,
            interrupt_s=self.interrupt_s,
            progress=tell,
            outcome=outcome,
        )

    def _messages(self, seed: int) -> tuple[DrawnForTasks | None, DrawnForTasks | None]:
        """How long messages take, there and back."""
        if self.times.network is None:
            return None, None
        there, back = self.times.network
        return DrawnForTasks(there, [seed, *b"there"]), DrawnForTasks(back, [seed, *b"back"])

    def metrics(self, name: str, outcome: Outcome) -> dict[str, float]:
        """The metrics of a policy, by their keys."""
        queries = outcome.queries(self.load.warmup)
        metrics = serving_metrics(queries, outcome.lost, outcome.duplicates) | outcome.costs()
        if self.accuracy is not None and not self.made[name].replaces_queries:  # those have codes of their own
            overall = overall_accuracy(metrics, *self.accuracy)
            metrics |= {} if overall is None else {OVERALL: overall}
        metrics |= {"instances": outcome.instances, "extra_instances": outcome.instances - self.instances}
        return {f"{SIMULATED}/{name}/{key}": value for key, value in metrics.items()}


def _checked_accuracy(accuracy: Sequence[float] | None) -> tuple[float, float] | None:
    """Available and degraded accuracy.

    Raises:
        SettingError: they are not two shares.
    """
    if accuracy is None:
        return None
    if len(accuracy) != 2 or not all(isinstance(one, int | float) and 0 <= one <= 1 for one in accuracy):
        raise SettingError(
            f"{{accuracy}}={list(accuracy)}: expected two shares from 0 to 1, of right answers among the base model's "
            "own and among reconstructed ones, such as [0.95, 0.92]"
        )
    return accuracy[0], accuracy[1]


def _refuse_processes(trace: list[Disturbance]) -> None:
    """Refuse what slows instances by really running beside them: how much that takes only a machine can tell.

    Raises:
        SettingError: with what to take instead.
    """
    for row in trace:
        if row.kind not in (SLOW, KILL, GONE):
            raise SettingError(
                f"{{straggler}}: rows of kind {row.kind} start real processes, which a simulation has none of; choose "
                "straggler=slowdown, shuffle, degraded, crash or multitenancy_simulated, or give the slowdown that "
                "they cause by straggler=trace"
            )
