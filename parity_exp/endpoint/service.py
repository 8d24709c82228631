"""A version of a model, from its instances to its frontend, and what is left of it when it ends."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from parity_exp.coding.consistency import Consistency
from parity_exp.disturbances import all_helpers
from parity_exp.disturbances.trace import Disturbance, timelines
from parity_exp.endpoint.driver import driven
from parity_exp.endpoint.hub import Hub, Served
from parity_exp.endpoint.live_frontend import LiveFrontend
from parity_exp.endpoint.protocol.facts import Facts
from parity_exp.endpoint.watch import Watch
from parity_exp.policies.desk import Desk
from parity_exp.policies.policy import BASE
from parity_exp.recordings.latest import LatestRecorder
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.metric_keys import PREFIX
from parity_exp.recordings.troubles import Troubles
from parity_exp.scenario.result import Recorded
from parity_exp.serving.absences import Absences
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.group_coder import coder_of
from parity_exp.serving.output_judge import OutputJudge
from parity_exp.serving.pool import ServedModel
from parity_exp.serving.serving import Serving
from parity_exp.serving.twin_process import TwinProcess, twin_of

log = logging.getLogger(__name__)


class Service:
    """Serves one version of a model.

    Args:
        serving: the policy, the pool, and what they need.
        models: that instances can hold, by name.
        consistencies: by policy what tells sound groups from wrong ones.
        facts: what clients are told.
        hub: brings requests, and is brought answers.
        broken: is called where the frontend cannot go on.

    Attributes:
        name: of the policy.
        recorder: the latest queries.
        troubles: what went wrong.
        trace: what is injected.
        error: a defect that has ended the frontend.
    """

    def __init__(
        self,
        serving: Serving,
        models: Mapping[str, ServedModel],
        consistencies: Mapping[str, Consistency],
        facts: Facts,
        hub: Hub,
        broken: Callable[[], None],
    ) -> None:
        self.serving = serving
        self.models = models
        self.facts = facts
        self.hub = hub
        self.broken = broken
        (self.name,) = serving.policies
        task, questions = serving.questions.task, serving.questions
        default = task.answer(questions.default).tolist()
        self.recorder = LatestRecorder(hub.settings.keep, task, default)
        self.troubles = Troubles()
        self.judge = OutputJudge(self.recorder, consistencies.get(self.name))
        self.trace: list[Disturbance] = []
        self.error: BaseException | None = None
        self.disturber: Disturber | None = None
        self.twin: TwinProcess | None = None

    def start(self) -> None:
        """Start instances, and make the frontend.

        Raises:
            UserError: an instance cannot start.
        """
        serving, pool = self.serving, self.serving.pool
        policy = serving.policy(self.name)
        desk = Desk(
            policy,
            serving.instances,
            serving.queue,
            pool.prefetch,
            serving.batch_size,
            serving.window_s,
            judge=self.judge,
            seed=serving.seed,
            interrupts=pool.interrupts,
        )
        self.held = held = desk.held
        if serving.stragglers:
            self.trace = serving.scene(self.models[BASE]).worlds[len(held)]
        code = serving.code_of(self.name) if policy.uses_groups else None
        wanted = {model: self.models[model] for names in held for model in names}
        self.twin = twin_of(policy)
        pool.start(wanted, held, serving.batch_size, timelines(self.trace, len(held)))
        if self.trace:
            self.disturber = pool.disturber(self.trace, all_helpers(serving.stragglers), serving.seed)
            self.disturber.start()
        roles = [role.name for role in desk.roles]
        watch = Watch(self.hub.metrics, self.facts.name, self.facts.version, self.name, len(held), held, roles)
        watch.injected = [(row.start_s, row.end_s, row.instance, row.kind) for row in self.trace]
        questions = serving.questions
        self.frontend = LiveFrontend(
            pool,
            desk,
            None if code is None else coder_of(code, serving.batch_size),
            self.recorder,
            questions.task,
            questions.default,
            watch,
            self.hub.answered,
            self.disturber,
            self.troubles,
            Absences(self.trace, len(held)),
        )
        self.hub.add(Served(self.facts, self.frontend, watch))

    @contextmanager
    def driven(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Take requests, in a loop that runs in this thread, for the length of the block."""

        def broken(error: BaseException) -> None:
            self.error = error
            self.broken()

        with driven(self.frontend, self.serving.pool.bell(), loop, broken):
            yield

    def stop(self) -> None:
        """End what the frontend has used; may come more than once, and before the start."""
        try:
            twin, self.twin = self.twin, None
            if twin is not None:
                twin.close()
            disturber, self.disturber = self.disturber, None
            if disturber is not None:
                disturber.close()
        finally:
            self.serving.pool.close()

    def save(self, folder: Path) -> None:
        """Write what is recorded."""
        self.recorder.save(folder, self.name)
        self.troubles.save(folder, self.name)
        for sentence in self.troubles.sentences():
            log.warning("%s: %s", self.name, sentence)

    def results(self) -> tuple[dict[str, float], Recorded]:
        """Metrics of the latest queries by their keys, and these."""
        queries = self.recorder.queries()
        metrics = serving_metrics(queries, self.recorder.lost, self.recorder.duplicates)
        metrics |= self.frontend.metrics() | self.judge.metrics()
        metrics |= {"instances": len(self.held), "extra_instances": len(self.held) - self.serving.instances}
        by_key = {f"{PREFIX}/{self.name}/{key}": value for key, value in metrics.items()}
        return by_key, Recorded(queries, self.recorder.tasks())
