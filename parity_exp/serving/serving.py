"""A scenario on real instances: what they can serve, what chance makes of it, and serving under each policy."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from parity_exp import tasks
from parity_exp.checks import SettingError
from parity_exp.coding import Code, NonSystematicCode
from parity_exp.coding.consistency import Consistency
from parity_exp.disturbances import Straggler, all_helpers
from parity_exp.disturbances.timeline import Timeline
from parity_exp.disturbances.trace import timelines
from parity_exp.load import Load, query_indices
from parity_exp.policies.desk import Desk
from parity_exp.policies.policy import BASE, Policy
from parity_exp.process.interrupts import ctrl_c_waits
from parity_exp.process.progress import progress
from parity_exp.process.shared_arrays import shared_zeros
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.metric_keys import PREFIX
from parity_exp.recordings.recorder import Recorder
from parity_exp.recordings.troubles import Troubles
from parity_exp.scenario.result import Recorded
from parity_exp.scenario.scenario import DAY_S, Draw, FrontendSplit, MakeQueues, Scenario
from parity_exp.serving.absences import Absences
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.frontend import Frontend, Workload
from parity_exp.serving.group_coder import coder_of
from parity_exp.serving.output_judge import OutputJudge
from parity_exp.serving.parts import Frontends, OneFrontend, Parts
from parity_exp.serving.pool import Pool, ServedModel
from parity_exp.serving.several.frontends import SeveralFrontends
from parity_exp.serving.throughput import Throughput, measure_alone, measure_together
from parity_exp.serving.twin_process import TwinProcess, twin_of

log = logging.getLogger(__name__)

SAMPLES = 2
"""Stream of random numbers, beside the scenario's."""

LONG_S, BRIEFLY_S = 1.5, 0.4
"""How long to measure at least what all instances serve together: of models as they are, of ones that mostly sleep."""

LONGEST_S = 30 * DAY_S
"""By the clock on the wall."""

CodeOf = Callable[[str], Code | NonSystematicCode | None]


@dataclass(frozen=True)
class Questions:
    """What clients may ask, and what they should be told.

    Attributes:
        queries: ``(N, *query_shape)``, float32 on the CPU, as networks see them.
        labels: ``(N, *label)``, true ones.
        known: whether the labels are; otherwise they stand for nothing.
        task: says what clients are told.
        default: ``(*out)``, the prediction for a query without an answer in time.
        together: so many of the queries, which follow each other, are asked one after another.
    """

    queries: Tensor
    labels: Tensor
    known: bool
    task: tasks.Task
    default: Tensor
    together: int = 1


@dataclass(frozen=True)
class Scene(Draw):
    """A draw with the queries themselves.

    Attributes:
        workload: the queries and their arrivals.
    """

    workload: Workload


class Serving(Scenario):
    """A scenario on a pool of instances.

    Args:
        pool: runs the instances.
        code_of: the code of a policy that uses groups, by the policy's name.
        questions: what clients ask.

    The others are those of :class:`~parity_exp.scenario.Scenario`.

    Raises:
        SettingError: what cannot work, in one line.
        UserError: a trace file that is missing or wrong, or settings of the pool that cannot work.
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
        *,
        pool: Pool,
        code_of: CodeOf,
        questions: Questions,
        frontends: int = 1,
        frontend_split: FrontendSplit = "random",
    ) -> None:
        codes = {name: code_of(name) for name in policies}
        needs = {name: code.needs for name, code in codes.items() if isinstance(code, Code)}
        super().__init__(
            policies, load, stragglers, instances, batch_size, batch_window_ms, queue, seed, LONGEST_S, needs,
            frontends, frontend_split,
        )  # fmt: skip
        check_served(self, pool)
        if frontends > 1 and questions.together > 1:
            raise SettingError(
                f"{{frontends}}={frontends}: the {questions.together} queries of a request have to meet in one coding "
                "group, which one frontend alone sees to; take {frontends}=1"
            )
        self.pool = pool
        self.code_of = code_of
        self.questions = questions

    def scene(self, base: ServedModel) -> Scene:
        """Measure what instances can serve, then draw arrivals and stragglers.

        Raises:
            UserError: the base model cannot be served.
        """
        pool, questions = self.pool, self.questions
        measured = self._throughput(base)
        words = measured.words([device for device, _ in pool.places()], pool.cores())
        if words is not None:
            log.warning(words)
        draw = self.draw(measured.service_s, self.seed, measured.together_qps)
        samples = query_indices(
            len(questions.labels), self.load.total, np.random.default_rng([self.seed, SAMPLES]), questions.together
        )
        workload = Workload(
            queries=questions.queries,
            labels=questions.labels,
            sample_of=samples,
            arrivals_s=draw.arrivals_s,
            think_s=self.load.think_s,
            task=questions.task,
            default=questions.default,
        )
        return Scene(draw.arrivals_s, draw.worlds, draw.service_s, draw.capacity_qps, draw.rate_qps, workload)

    def _throughput(self, base: ServedModel) -> Throughput:
        """What one base instance can serve alone, and all of them together."""
        pool, queries = self.pool, self.questions.queries
        pool.start({BASE: base}, [[BASE]] * self.instances, self.batch_size, [Timeline()] * self.instances)
        # What takes longer is killed, and so an answer or the news of its end comes until then.
        service_s = measure_alone(pool, BASE, queries, self.batch_size, pool.task_timeout_s)
        floor_s = pool.service_time_ms / 1e3
        least_s = BRIEFLY_S if floor_s else LONG_S
        measured_qps = measure_together(pool, self.instances, BASE, queries, self.batch_size, least_s)
        apart = Throughput(self.instances, service_s, self.instances / service_s)
        if measured_qps is None:
            return apart
        together = Throughput(self.instances, service_s, measured_qps)
        # Instances that sleep most of the time serve what the sleep allows, to within what a brief look can tell.
        return together if not floor_s or together.in_each_others_way else apart

    def serve(
        self,
        name: str,
        scene: Scene,
        models: Mapping[str, ServedModel],
        consistency: Consistency | None,
        folder: Path | None,
        show_progress: bool = True,
    ) -> tuple[dict[str, float], Recorded, Troubles]:
        """Serve the scene under one policy.

        Args:
            name: of the policy.
            scene: what happens.
            models: by name.
            consistency: tells sound groups from wrong ones, for policies that ask.
            folder: where recordings go, also when interrupted; None: nowhere.
            show_progress: show a bar.

        Returns:
            Its metrics by their keys, what was recorded, and what went wrong.
        """
        pool, task, questions = self.pool, self.questions.task, self.questions
        policies = [self.policy(name) for _ in range(self.frontends)]
        default = task.answer(questions.default).tolist()
        several = self.frontends > 1
        recorder = Recorder(
            self.load.queries, self.load.warmup, task, default, questions.known, shared_zeros if several else np.zeros
        )
        held = [role.models for role in policies[0].roles(self.instances) for _ in range(role.instances)]
        trace = scene.worlds[len(held)]
        code = self.code_of(name) if policies[0].uses_groups else None
        wanted = {model: models[model] for names in held for model in names}

        def make(parts: Parts) -> tuple[Frontend, OutputJudge]:
            judge = OutputJudge(parts.recorder, consistency)
            desk = Desk(
                policies[parts.number], self.instances, self.queue, pool.prefetch, self.batch_size, self.window_s,
                self.slo_s, judge, seed=self.seed, board=parts.board, frontend=parts.number,
                frontends=self.frontends, interrupts=pool.interrupts,
            )  # fmt: skip
            coder = None if code is None else coder_of(code, self.batch_size)
            frontend = Frontend(
                parts.instances, desk, coder, scene.workload, parts.recorder, parts.disturber, parts.progress,
                parts.troubles, Absences(trace, len(held)), parts.clients,
            )  # fmt: skip
            return frontend, judge

        disturber: Disturber | None = None
        frontends: Frontends | None = None
        troubles = Troubles()
        twins: list[TwinProcess] = []
        try:
            for policy in policies:
                twins += [twin for twin in (twin_of(policy),) if twin is not None]
            pool.start(wanted, held, self.batch_size, timelines(trace, len(held)))
            for twin in twins:
                twin.wait()
            disturber = pool.disturber(trace, all_helpers(self.stragglers), self.seed)
            disturber.start()
            with progress(name, self.load.total, show_progress) as move:
                parts = Parts(0, pool, recorder, troubles, move, disturber=disturber)
                if several:
                    owner_of, kept = self.frontend_of(self.seed), [twin.descriptor for twin in twins]
                    frontends = SeveralFrontends(
                        make, parts, pool, scene.workload, self.frontends, owner_of, wanted, len(held), self.batch_size,
                        policies[0].replaces_queries, kept,
                    )  # fmt: skip
                else:
                    frontends = OneFrontend(make, parts)
                frontends.run()
        finally:
            with ctrl_c_waits():
                try:
                    if frontends is not None:
                        frontends.close()
                finally:
                    for twin in twins:
                        twin.close()
                    if disturber is not None:
                        disturber.close()
                    if folder is not None and (recorder.lost or not recorder.queries().empty):
                        recorder.save(folder, name)
                        troubles.save(folder, name)
                    for sentence in troubles.sentences():
                        log.warning("%s: %s", name, sentence)
        for failure in disturber.failures:
            log.warning("%s: %s", name, failure)
        queries = recorder.queries()
        metrics = serving_metrics(queries, recorder.lost, recorder.duplicates) | frontends.metrics()
        metrics |= {"instances": len(held), "extra_instances": len(held) - self.instances}
        recorded = Recorded(queries, recorder.tasks())
        return {f"{PREFIX}/{name}/{key}": value for key, value in metrics.items()}, recorded, troubles


def check_served(scenario: Scenario, pool: Pool) -> None:
    """Refuse what only a simulation can do, and settings of the pool that cannot work for so many instances.

    Raises:
        SettingError: a policy that has to know the future, or stragglers that contradict each other.
        UserError: which setting of the pool, and why.
    """
    for name, policy in scenario.made.items():
        if policy.needs_foresight:
            raise SettingError(
                f"{{policies.{name}}}: only `simulate` knows in advance how long tasks take; leave it out"
            )
    if scenario.load.service_times() is not None:
        raise SettingError(
            "{load}: it says how long queries take, from durations or sizes; instances run real models, so that is for "
            "`simulate`. To serve its arrivals give durations=false, or base_ms=0 input_ms=0 output_ms=0"
        )
    try:
        pool.check(scenario.most_instances)
    except SettingError as error:
        raise error.within("pool") from None
    all_helpers(scenario.stragglers)
