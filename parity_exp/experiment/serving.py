"""Serve a trained run under each redundancy policy in turn, each on the arrivals and stragglers that it has alone."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf

from parity_exp.analysis.figures.files import save
from parity_exp.analysis.figures.serving import serving_figures
from parity_exp.analysis.tables.serving import percentile_table, written, wrong_answers_table
from parity_exp.analysis.tables.terminal import show
from parity_exp.coding.consistency import Consistency
from parity_exp.devices.placement import on_device
from parity_exp.disturbances import all_helpers
from parity_exp.disturbances.timeline import Timeline
from parity_exp.disturbances.trace import timelines, write_trace
from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.components import build_checked, for_the_class
from parity_exp.experiment.scenario import DAY_S, Draw, Scenario
from parity_exp.experiment.several_processes import obtain_labelled_of
from parity_exp.experiment.trained_run import normal_outputs_of
from parity_exp.experiment.untrained_codes import choose_settings
from parity_exp.load import query_indices, write_arrivals
from parity_exp.models import load_weights
from parity_exp.policies.desk import Desk
from parity_exp.policies.policy import BACKUP, BASE, parity_model
from parity_exp.process import interrupts
from parity_exp.process.interrupts import ctrl_c_waits
from parity_exp.process.progress import progress
from parity_exp.process.side_channels import beside
from parity_exp.recordings.looks import write_looks
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.metric_keys import metrics_by_policy
from parity_exp.recordings.reader import read_errors, read_recordings
from parity_exp.recordings.recorder import Recorder
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.recordings.troubles import Troubles
from parity_exp.serving.capacity import Capacity, measure_alone, measure_together
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.frontend import Frontend, Workload
from parity_exp.serving.group_coder import GroupCoder, ParityGroupCoder, WholeGroupCoder
from parity_exp.serving.load_model import load_model
from parity_exp.serving.output_judge import OutputJudge
from parity_exp.serving.pool import Pool, ServedModel
from parity_exp.tracking import Tracker

log = logging.getLogger(__name__)

SAMPLES = 2
"""Stream of random numbers, beside the scenario's."""

LONG_S, BRIEFLY_S = 1.5, 0.4
"""How long to measure at least what all instances serve together: of models as they are, of ones that mostly sleep."""


@dataclass(frozen=True)
class Scene(Draw):
    """A draw with the queries themselves.

    Attributes:
        workload: the queries and their arrivals.
    """

    workload: Workload


class Serving(Scenario):
    """How an experiment is served, from its config.

    Everything that the config alone shows to be wrong is refused here, before anything is trained or started.

    Args:
        experiment: says what is served.

    Raises:
        ConfigError: a value that cannot be.
        UserError: a trace file that is missing or wrong.
    """

    longest_s = 30 * DAY_S  # by the clock on the wall

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment.config)
        self.experiment = experiment
        for name in self.policies:
            if self.policy(name).needs_foresight:
                raise ConfigError(
                    f"redundancy.{name}: only `simulate` knows in advance how long tasks take; leave it out"
                )
        self._check_models()
        self.pool().check(self.most_instances)
        all_helpers(self.stragglers)
        if experiment.systematic:
            experiment.warn_of_precision("pool.precision", self.config.pool.get("precision", "float32"))
        if self.needs_backup:
            experiment.rehearse_network("backup")

    def _check_models(self) -> None:
        """Refuse policies that want models which no run of this code has.

        Raises:
            ConfigError: with the policy and the model.
        """
        there = {BASE, BACKUP, *self._parity_models}
        for name in self.policies:
            wanted = {model for role in self.policy(name).roles(self.instances) for model in role.models}
            if missing := sorted(wanted - there):
                raise ConfigError(
                    f"redundancy={name}: it runs the model {missing[0]}, and this run's code has none "
                    f"({self._code_name}); leave {name} out, or take redundancy=coded, which serves the run's own code"
                )

    @property
    def _parity_models(self) -> list[str]:
        """Names of the run's parity models, which only systematic codes have."""
        return [parity_model(row) for row in range(self.experiment.r)] if self.experiment.systematic else []

    @property
    def _code_name(self) -> str:
        return str(self.config.code._target_).rpartition(".")[2]

    def pool(self) -> Pool:
        """A pool that has not been started."""
        return build_checked(self.config.pool, "pool", Pool)  # type: ignore[type-abstract]

    # ---- models

    def models(self, trained: RunDirectory, backup: RunDirectory) -> dict[str, ServedModel]:
        """Everything that instances can hold, by name.

        Args:
            trained: whose checkpoints to serve.
            backup: where the small model's is.
        """
        experiment = self.experiment
        shape, outputs = experiment.splits.query_shape, experiment.task.outputs

        def served(section: str, path: object, query_shape: tuple[int, ...], outputs: int) -> ServedModel:
            node: Any = OmegaConf.to_container(for_the_class(experiment.architecture(section), "architecture"))
            load = partial(load_model, node, query_shape, outputs, str(path))
            return ServedModel(load, query_shape, (outputs,), str(path))

        models = {BASE: served("base", trained.checkpoint("base"), shape, outputs)}
        parity = "parity" if self.config.parity.trainable else "base"
        for name in self._parity_models:
            encoder = experiment.code.encoder
            models[name] = served(parity, trained.checkpoint(name), encoder.parity_shape, experiment.parity_outputs)
        if self.needs_backup:
            models[BACKUP] = served("backup", backup.checkpoint("backup"), shape, outputs)
        return models

    def choose_settings(self, trained: RunDirectory, run: RunDirectory) -> dict[str, float]:
        """Choose what the codes of policies leave open, and put it into the config; return what was chosen.

        Args:
            trained: whose base model.
            run: where the config and the tables of the search go.
        """
        metrics: dict[str, float] = {}
        for name in self.policies:
            node = self.config.redundancy[name].get("code")
            if node is None:
                continue  # without a code of its own; what the run's leaves open was chosen when it was trained
            base = self.experiment.new_base_network()
            load_weights(trained.checkpoint("base"), base, "run")
            key = f"redundancy.{name}.code"
            chosen = choose_settings(self.experiment, node, key, base, run.code_search(name))
            metrics |= {f"serve/{name}/{setting}": value for setting, value in chosen.items()}
        run.write_config(self.config)
        return metrics

    @cached_property
    def default(self) -> torch.Tensor:
        """The default prediction, as far as the training samples tell."""
        return self.experiment.task.default(self.experiment.splits.train.labels)

    # ---- the scene

    def scene(self, pool: Pool, models: Mapping[str, ServedModel]) -> Scene:
        """Measure what instances can serve, then draw arrivals and stragglers."""
        splits = self.experiment.splits
        queries = splits.normalise(splits.test.inputs).contiguous()
        capacity = self._capacity(pool, models[BASE], queries)
        words = capacity.words([device for device, _ in pool.places()], pool.cores())
        if words is not None:
            log.warning(words)
        draw = self.draw(capacity.service_s, self.seed, capacity.together_qps)
        samples = query_indices(len(splits.test), self.load.total, np.random.default_rng([self.seed, SAMPLES]))
        workload = Workload(
            queries=queries,
            labels=splits.test.labels,
            sample_of=samples,
            arrivals_s=draw.arrivals_s,
            think_s=self.think_s,
            task=self.experiment.task,
            default=self.default,
        )
        return Scene(draw.arrivals_s, draw.worlds, draw.service_s, draw.capacity_qps, draw.rate_qps, workload)

    def _capacity(self, pool: Pool, base: ServedModel, queries: torch.Tensor) -> Capacity:
        """What one base instance can serve alone, and all of them together."""
        pool.start({BASE: base}, [[BASE]] * self.instances, self.batch_size, [Timeline()] * self.instances)
        # What takes longer is killed, and so an answer or the news of its end comes until then.
        longest_s = float(self.config.pool.get("task_timeout_s") or 0)
        service_s = measure_alone(pool, BASE, queries, self.batch_size, longest_s)
        floor_s = float(self.config.pool.get("service_time_ms") or 0) / 1e3
        least_s = BRIEFLY_S if floor_s else LONG_S
        measured_qps = measure_together(pool, self.instances, BASE, queries, self.batch_size, least_s)
        apart = Capacity(self.instances, service_s, self.instances / service_s)
        if measured_qps is None:
            return apart
        capacity = Capacity(self.instances, service_s, measured_qps)
        # Instances that sleep most of the time serve what the sleep allows, to within what a brief look can tell.
        return capacity if not floor_s or capacity.in_each_others_way else apart

    def consistencies(self, trained: RunDirectory) -> dict[str, Consistency]:
        """For each policy that checks groups, what tells sound ones from wrong ones.

        Args:
            trained: whose checkpoints are served.
        """
        wanted = [(name, self.policy(name).false_alarm_rate) for name in self.policies]
        rates = {name: rate for name, rate in wanted if rate is not None}
        if not rates:
            return {}
        normal = normal_outputs_of(self.experiment, trained)
        decoder, differences = on_device(self.experiment.code.decoder, "cpu"), self.experiment.task.differences
        return {name: Consistency(decoder, differences, *normal, rate) for name, rate in rates.items()}

    # ---- one policy

    def _coder(self, name: str) -> GroupCoder:
        code = self.non_systematic_code(name)
        if code is None:
            return ParityGroupCoder(self.experiment.code, self.batch_size)
        return WholeGroupCoder(code, self.batch_size)

    def serve(
        self,
        name: str,
        pool: Pool,
        scene: Scene,
        models: Mapping[str, ServedModel],
        run: RunDirectory,
        consistency: Consistency | None = None,
    ) -> dict[str, float]:
        """Serve the scene under one policy; write its recordings, also when interrupted; return its metrics."""
        policy = self.policy(name)
        task = self.experiment.task
        recorder = Recorder(self.load.queries, self.load.warmup, task, task.answer(self.default).tolist())
        judge = OutputJudge(recorder, consistency)
        desk = Desk(
            policy, self.instances, self.queues, pool.prefetch, self.batch_size, self.window_s, self.slo_s, judge
        )
        held = desk.held
        trace = scene.worlds[len(held)]
        coder = self._coder(name) if policy.uses_groups else None
        wanted = {model: models[model] for names in held for model in names}
        disturber: Disturber | None = None
        troubles = Troubles()
        try:
            pool.start(wanted, held, self.batch_size, timelines(trace, len(held)))
            disturber = pool.disturber(trace, all_helpers(self.stragglers), self.experiment.seed)
            disturber.start()
            with progress(name, self.load.total) as move:
                frontend = Frontend(pool, desk, coder, scene.workload, recorder, disturber, move, troubles)
                frontend.run()
        finally:
            with ctrl_c_waits():
                try:
                    if disturber is not None:
                        disturber.close()
                finally:
                    if recorder.lost or not recorder.queries().empty:
                        recorder.save(run.path, name)
                        troubles.save(run.path, name)
                    for sentence in troubles.sentences():
                        log.warning("%s: %s", name, sentence)
        for failure in disturber.failures:
            log.warning("%s: %s", name, failure)
        metrics = serving_metrics(recorder.queries(), recorder.lost, recorder.duplicates) | frontend.metrics()
        metrics |= judge.metrics()
        metrics |= {"instances": len(held), "extra_instances": len(held) - self.instances}
        return {f"serve/{name}/{key}": value for key, value in metrics.items()}


@dataclass(frozen=True)
class Served:
    """What came out of serving every policy.

    Attributes:
        metrics: by their keys in ``metrics.json``.
        title: what was served, in a line.
        table: a row a policy.
        wrong: a row a policy that was given wrong outputs; empty where none was.
        errors: a row a distinct error of instances and models; empty where there was none.
    """

    metrics: dict[str, float]
    title: str
    table: pd.DataFrame
    wrong: pd.DataFrame
    errors: pd.DataFrame

    def show(self, run: RunDirectory) -> None:
        """Print the tables, once all is written that a script may read."""
        if not self.wrong.empty:
            show("Wrong answers, and who noticed", written(self.wrong))
        if not self.errors.empty:
            show("What went wrong with instances and models", self.errors)
        report = run.report
        place = f"run directory: {run.path}" + (f"\nreport: {report}" if report.is_file() else "")
        show(self.title, written(self.table), place)


def serve_policies(
    serving: Serving, trained: RunDirectory, backup: RunDirectory, run: RunDirectory, tracker: Tracker
) -> Served:
    """Serve every policy; write recordings and figures; tell the tracker.

    Args:
        serving: how to serve; the experiment's code with its trained encoder and decoder.
        trained: whose checkpoints.
        backup: where the small model of an approximate backup is, or is to be.
        run: where to write.
        tracker: is told everything.

    Returns:
        What was measured, to be written with whatever else the job has measured, and then shown.
    """
    if serving.needs_backup:
        obtain_labelled_of(serving.experiment, BACKUP, backup, tracker.epoch)
    chosen = serving.choose_settings(trained, run)
    models = serving.models(trained, backup)
    consistencies = serving.consistencies(trained)
    with _one_thread(), _open(serving.pool()) as pool:
        scene = serving.scene(pool, models)
        write_looks(run.path, {name: serving.policy(name) for name in serving.policies})
        write_trace(run.trace, scene.trace)
        write_arrivals(run.arrivals, scene.workload.arrivals_s)
        metrics = {
            "serve/service_time_ms": scene.service_s * 1e3,
            "serve/capacity_qps": scene.capacity_qps,
            "serve/rate_qps": scene.rate_qps,
            "serve/utilisation": scene.rate_qps / scene.capacity_qps,
        }
        for name in serving.policies:
            interrupts.check()
            metrics |= serving.serve(name, pool, scene, models, run, consistencies.get(name))
    metrics |= chosen
    table = percentile_table(metrics_by_policy(metrics))
    wrong = wrong_answers_table(metrics_by_policy(metrics))
    errors = read_errors(run.path, serving.policies)
    tables = {"serving": table, "wrong answers": wrong, "errors": errors}
    paths: list[Path] = []
    with beside("figures"):
        found = read_recordings(run.path, serving.policies)
        slo_ms = serving.load.slo_ms
        pictures = serving_figures(found.queries, found.tasks, found.trace, slo_ms, serving.sizes, found.looks)
        paths = save(pictures, run.figures)
    tracker.results(metrics, {name: one for name, one in tables.items() if not one.empty})
    tracker.figures(paths)
    title = (
        f"{serving.load.queries:,} queries at {scene.rate_qps:.0f} q/s, {scene.service_s * 1e3:.3g} ms each, "
        f"{serving.instances} base instances that serve {scene.capacity_qps:,.0f} q/s together"
    )
    return Served(metrics, title, table, wrong, errors)


@contextmanager
def _open(pool: Pool) -> Iterator[Pool]:
    """A pool that goes from policy to policy, and is closed at the end of all."""
    try:
        yield pool
    finally:
        with ctrl_c_waits():
            pool.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """The frontend's few small operations gain nothing from more threads, and the instances need the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
