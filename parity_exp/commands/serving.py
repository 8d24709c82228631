"""Serve a trained run under each redundancy policy in turn, on the same arrivals and the same straggler trace."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from statistics import median
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from parity_exp.analysis import figures
from parity_exp.analysis.recordings import read_recordings
from parity_exp.analysis.serving_figures import serving_figures
from parity_exp.analysis.serving_tables import metrics_by_policy, percentile_table, written, wrong_answers_table
from parity_exp.analysis.tables import show
from parity_exp.coding import Code
from parity_exp.commands.assembly import Experiment, build_checked
from parity_exp.commands.calibration import normal_outputs
from parity_exp.commands.phases import obtain_base
from parity_exp.errors import ConfigError, UserError
from parity_exp.run_directory import RunDirectory
from parity_exp.serving.checks import number, whole
from parity_exp.serving.consistency import Consistency
from parity_exp.serving.desk import Desk, Queues
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.frontend import Frontend, Workload
from parity_exp.serving.group_coder import GroupCoder
from parity_exp.serving.load import ClosedLoop, Load, query_indices, write_arrivals
from parity_exp.serving.load_model import load_model
from parity_exp.serving.measures import serving_metrics
from parity_exp.serving.output_judge import OutputJudge
from parity_exp.serving.policy import BACKUP, BASE, Policy
from parity_exp.serving.pool import Down, Finished, Pool, Raised, ServedModel
from parity_exp.serving.recorder import Recorder
from parity_exp.serving.stragglers import Straggler, all_helpers, compose
from parity_exp.serving.timeline import Timeline
from parity_exp.serving.trace import Disturbance, timelines, write_trace
from parity_exp.tracking import Tracker

log = logging.getLogger(__name__)

SECTIONS = ("redundancy", "straggler", "load", "pool", "queue", "backup")
"""The parts of the config that say how to serve."""

PATIENCE_S = 60.0
"""Deadline of queries where load.slo_ms is null: nothing waits for ever."""

ARRIVALS, SAMPLES = 1, 2
"""Independent streams of random numbers."""

MEASURED_TASKS = range(20, 100)
"""The service time is measured with at least so many tasks, and with up to so many while that is quick."""

QUICK_S = 3.0
MEASURE_S = 60.0

REHEARSAL_S = 1.0
"""Length of the straggler trace that is made to see whether it can be."""


@dataclass(frozen=True)
class Scene:
    """What every policy meets alike.

    Attributes:
        workload: the queries and their arrivals.
        trace: the straggler trace.
        service_s: how long a base instance takes for a query, by measurement.
        rate_qps: mean number of arrivals a second.
    """

    workload: Workload
    trace: list[Disturbance]
    service_s: float
    rate_qps: float


class Serving:
    """How an experiment is served, from its config.

    Everything that the config alone shows to be wrong is refused here, before anything is trained or started.

    Args:
        experiment: says what is served.

    Raises:
        ConfigError: a value that cannot be.
        UserError: a trace file that is missing or wrong.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        config = self.config = experiment.config
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
        self._rehearse()

    def _rehearse(self) -> None:
        """Find out what cannot work before anything is trained or started."""
        self.pool().check(self.most_instances)
        # What a straggler cannot do to so many instances it says when it writes its trace.
        compose(self.stragglers, self.most_instances, REHEARSAL_S, self.experiment.seed, REHEARSAL_S / 100)
        all_helpers(self.stragglers)
        if self.needs_backup:
            self.experiment.rehearse_network("backup")

    def policy(self, name: str) -> Policy:
        """A policy at the beginning of a run."""
        node = self.config.redundancy[name]
        kind: type[Policy] = Policy  # type: ignore[type-abstract]
        return build_checked(node, f"redundancy.{name}", kind, k=self.experiment.k, r=self.experiment.r)

    def pool(self) -> Pool:
        """A pool that has not been started."""
        own = ("instances", "batch_size", "batch_window_ms")
        node = {name: value for name, value in self.config.pool.items() if name not in own}
        return build_checked(OmegaConf.create(node), "pool", Pool)  # type: ignore[type-abstract]

    @property
    def needs_backup(self) -> bool:
        """Whether a policy wants the small model."""
        return any(BACKUP in role.models for name in self.policies for role in self.policy(name).roles(self.instances))

    # ---- models

    def models(self, trained: RunDirectory, backup: RunDirectory) -> dict[str, ServedModel]:
        """Everything that instances can hold, by name.

        Args:
            trained: whose checkpoints to serve.
            backup: where the small model's is.
        """
        experiment = self.experiment
        shape, outputs = experiment.splits.query_shape, (experiment.task.outputs,)

        def served(section: str, path: object, query_shape: tuple[int, ...]) -> ServedModel:
            node: Any = OmegaConf.to_container(experiment.architecture(section), resolve=True)
            load = partial(load_model, node, query_shape, outputs[0], str(path))
            return ServedModel(load, query_shape, outputs)

        models = {BASE: served("base", trained.checkpoint("base"), shape)}
        parity = "parity" if self.config.parity.trainable else "base"
        for row in range(experiment.r):
            name = f"parity-{row}"
            models[name] = served(parity, trained.checkpoint(name), experiment.code.encoder.parity_shape)
        if self.needs_backup:
            models[BACKUP] = served("backup", backup.checkpoint("backup"), shape)
        return models

    @cached_property
    def default(self) -> torch.Tensor:
        """The default prediction, as far as the training samples tell."""
        return self.experiment.task.default(self.experiment.splits.train.labels)

    # ---- the scene

    def scene(self, models: Mapping[str, ServedModel]) -> Scene:
        """Measure the service time, then draw arrivals and stragglers."""
        splits, seed, load = self.experiment.splits, self.experiment.seed, self.load
        queries = splits.normalise(splits.test.inputs).contiguous()
        service_s = self._service_s(models[BASE], queries)
        rate_qps = load.rate(service_s, self.instances)
        arrivals_s = load.arrivals(rate_qps, np.random.default_rng([seed, ARRIVALS]))
        workload = Workload(
            queries=queries,
            labels=splits.test.labels,
            sample_of=query_indices(len(splits.test), load.total, np.random.default_rng([seed, SAMPLES])),
            arrivals_s=arrivals_s,
            think_s=load.think_ms / 1e3 if isinstance(load, ClosedLoop) else None,
            task=self.experiment.task,
            default=self.default,
        )
        # An overloaded run goes on after its last arrival, and a closed loop's end is a guess: be generous.
        expected_s = max(float(arrivals_s[-1]), load.total / rate_qps)
        trace = compose(self.stragglers, self.most_instances, 1.5 * expected_s + 10.0, seed, service_s)
        return Scene(workload, trace, service_s, rate_qps)

    def _service_s(self, base: ServedModel, queries: torch.Tensor) -> float:
        """How long a base instance takes for a query, a full batch at a time."""
        pool = self.pool()
        durations_s: list[float] = []
        size = min(self.batch_size, len(queries))
        reason = f"no answer for {MEASURE_S:g} s"
        try:
            pool.start({BASE: base}, [[BASE]], self.batch_size, [Timeline()])
            started_s = time.monotonic()
            deadline_s = started_s + MEASURE_S
            for task in range(MEASURED_TASKS.stop):
                if task >= MEASURED_TASKS.start and time.monotonic() - started_s > QUICK_S:
                    break
                first = task * size % (len(queries) - size + 1)
                pool.send(0, task, BASE, queries[first : first + size])
                # One that raises, or dies, is the policies' business later on; here it only must not be the rule.
                for event in pool.poll(max(deadline_s - time.monotonic(), 0)):
                    if isinstance(event, Finished):
                        durations_s.append(event.finished_s - event.started_s)
                    elif isinstance(event, Raised):
                        reason = event.error
                    elif isinstance(event, Down):
                        reason = event.reason
                        if event.final:
                            deadline_s = 0.0
        finally:
            pool.close()
        if not durations_s:
            raise UserError(f"the base model cannot be served: {reason}")
        return median(durations_s) / size

    def consistencies(self, trained: RunDirectory, code: Code) -> dict[str, Consistency]:
        """For each policy that checks groups, what tells sound ones from wrong ones.

        Args:
            trained: whose checkpoints are served.
            code: with the trained encoder and decoder.
        """
        wanted = [(name, self.policy(name).false_alarm_rate) for name in self.policies]
        rates = {name: rate for name, rate in wanted if rate is not None}
        if not rates:
            return {}
        normal = normal_outputs(self.experiment, trained)
        decoder, differences = code.decoder.cpu().eval(), self.experiment.task.differences
        return {name: Consistency(decoder, differences, *normal, rate) for name, rate in rates.items()}

    # ---- one policy

    def serve(
        self,
        name: str,
        scene: Scene,
        models: Mapping[str, ServedModel],
        code: Code,
        run: RunDirectory,
        consistency: Consistency | None = None,
    ) -> dict[str, float]:
        """Serve the scene under one policy; write its recordings, also when interrupted; return its metrics."""
        pool = self.pool()
        policy = self.policy(name)
        task = self.experiment.task
        recorder = Recorder(self.load.queries, self.load.warmup, task, task.answer(self.default).tolist())
        judge = OutputJudge(recorder, consistency)
        desk = Desk(
            policy, self.instances, self.queues, pool.prefetch, self.batch_size, self.window_s, self.slo_s, judge
        )
        held = desk.held
        coder = GroupCoder(code, self.batch_size) if policy.uses_groups else None
        wanted = {model: models[model] for names in held for model in names}
        disturber: Disturber | None = None
        try:
            pool.start(wanted, held, self.batch_size, timelines(scene.trace, len(held)))
            devices, cores = zip(*pool.places(), strict=True)
            disturber = Disturber(
                scene.trace, devices, cores, pool.kill, all_helpers(self.stragglers), self.experiment.seed
            )
            disturber.start()
            with _progress(name, self.load.total) as progress:
                frontend = Frontend(pool, desk, coder, scene.workload, recorder, disturber, progress)
                frontend.run()
        finally:
            with _ctrl_c_waits():
                try:
                    if disturber is not None:
                        disturber.close()
                finally:
                    pool.close()
                    if recorder.lost or not recorder.queries().empty:
                        recorder.save(run.path, name)
        for failure in disturber.failures:
            log.warning("%s: %s", name, failure)
        metrics = serving_metrics(recorder.queries(), recorder.lost, recorder.duplicates) | frontend.metrics()
        metrics |= judge.metrics()
        metrics |= {"instances": len(held), "extra_instances": len(held) - self.instances}
        return {f"serve/{name}/{key}": value for key, value in metrics.items()}


def serve_policies(
    serving: Serving, trained: RunDirectory, backup: RunDirectory, code: Code, run: RunDirectory, tracker: Tracker
) -> dict[str, float]:
    """Serve every policy; write recordings, tables and figures; tell the tracker; print a table.

    Args:
        serving: how to serve.
        trained: whose checkpoints.
        backup: where the small model of an approximate backup is, or is to be.
        code: with the trained encoder and decoder.
        run: where to write.
        tracker: is told everything.

    Returns:
        The metrics, to be written with whatever else the job has measured.
    """
    if serving.needs_backup:
        obtain_base(serving.experiment, backup, tracker.epoch, BACKUP)
    models = serving.models(trained, backup)
    consistencies = serving.consistencies(trained, code)
    with _one_thread():
        scene = serving.scene(models)
        write_trace(run.path / "straggler-trace.csv", scene.trace)
        write_arrivals(run.path / "arrivals.csv", scene.workload.arrivals_s)
        metrics = {
            "serve/service_time_ms": scene.service_s * 1e3,
            "serve/rate_qps": scene.rate_qps,
            "serve/utilisation": scene.rate_qps * scene.service_s / serving.instances,
        }
        for name in serving.policies:
            metrics |= serving.serve(name, scene, models, code, run, consistencies.get(name))
    table = percentile_table(metrics_by_policy(metrics))
    wrong = wrong_answers_table(metrics_by_policy(metrics))
    recordings = read_recordings(run.path, serving.policies)
    pictures = serving_figures(recordings.queries, recordings.tasks, recordings.trace, serving.load.slo_ms)
    paths = figures.save(pictures, run.figures)
    tracker.results(metrics, {"serving": table} if wrong.empty else {"serving": table, "wrong answers": wrong})
    tracker.figures(paths)
    title = (
        f"{serving.load.queries:,} queries at {scene.rate_qps:.0f} q/s, {scene.service_s * 1e3:.1f} ms each, "
        f"{serving.instances} base instances"
    )
    if not wrong.empty:
        show("Wrong answers, and who noticed", written(wrong))
    show(title, written(table), f"run directory: {run.path}")
    return metrics


@contextmanager
def _progress(name: str, total: int) -> Iterator[Any]:
    """A progress bar over queries; gives the function that moves it to a number."""
    watched = sys.stderr.isatty()
    interval_s = 0.2 if watched else 30  # where nobody watches a terminal, a line now and then keeps logs short
    bar = tqdm(
        total=total,
        desc=f"{name:<18}",
        unit="query",
        mininterval=interval_s,
        maxinterval=interval_s,
        dynamic_ncols=watched,
    )

    def move(answered: int) -> None:
        bar.update(answered - bar.n)

    try:
        yield move
    finally:
        bar.close()


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Let Ctrl-C wait until the end of a block that takes seconds at most and must not be left half done."""
    if threading.current_thread() is not threading.main_thread():
        yield  # it never comes here
        return
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt


@contextmanager
def _one_thread() -> Iterator[None]:
    """The frontend's few small operations gain nothing from more threads, and the instances need the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
