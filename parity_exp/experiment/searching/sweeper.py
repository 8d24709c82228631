"""The sweeper of ``hydra/sweeper=optuna``: asks a study for trials, runs them as jobs, and tells it their results.

A trial's number is its job's, so that a sweep that was killed goes on with its trials where they are: the ones that
were running are run again first, in their own folders, where training goes on from its last checkpoint.
"""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from parity_exp.errors import ConfigError, UserError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

    from parity_exp.experiment.searching.search_space import SearchSpace
    from parity_exp.experiment.searching.studies import Direction

log = logging.getLogger(__name__)

MAXIMISED = ("train", "evaluate")
"""Commands whose result is better the greater it is; that of others is a latency or a number of machines."""

DIRECTIONS = ("minimize", "maximize")
RESULTS = "optimization_results.yaml"

OF_TEST = re.compile(r"test/|serve/.*(accuracy|iou)|.*fraction/")
"""Metrics that labels of test images have a part in; those choose nothing."""


class OptunaSearch(Sweeper):
    """Searches through what overrides name, with a sampler of Optuna's.

    Args:
        sampler: config of one of ``optuna.samplers``.
        pruner: config of one of ``optuna.pruners``, which ends trials of ``train`` by epochs; None ends none.
        direction: ``minimize`` or ``maximize`` what the command returns, or a list where it returns several; None: as
            the command means it.
        objectives: keys of ``metrics.json`` with a direction each, instead of what the command returns.
        storage: file or URL of the study; None: a file in the sweep's folder.
        study_name: None: ``sweep``.
        n_trials: trials of the study, those before a kill included.
        n_jobs: trials that are asked for, and launched, at a time.
        max_failure_rate: share of a batch's trials that may fail; with more the sweep ends.
        custom_search_space: dotted name of a function of the config and a trial, which may suggest further values.
        params: the search space where the command line does not say otherwise.
    """

    def __init__(
        self,
        sampler: Any,
        pruner: Any = None,
        direction: Any = None,
        objectives: "Mapping[str, Direction] | None" = None,
        storage: str | None = None,
        study_name: str | None = None,
        n_trials: int = 20,
        n_jobs: int = 1,
        max_failure_rate: float = 0.0,
        custom_search_space: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.sampler = sampler
        self.pruner = pruner
        self.direction = direction
        self.objectives = dict(objectives or {})
        self.storage = storage
        self.study_name = study_name
        self.n_trials = n_trials
        self.n_jobs = n_jobs
        self.max_failure_rate = max_failure_rate
        self.custom_search_space = custom_search_space
        self.params = dict(params or {})
        self._exhausted = False
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        assert self.config is not None and self.hydra_context is not None
        try:
            import optuna
        except ImportError:
            raise UserError("hydra/sweeper=optuna: Optuna is not installed; pip install 'parity_exp[optuna]'") from None
        from parity_exp.experiment.searching.search_space import search_space

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        directions = self._directions()
        self._check()
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = [f"{key}={value}" for key, value in self.params.items()] + list(arguments)
        space = search_space(parser.parse_overrides(given))
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder / ".sweep.lock", timeout=0):
                OmegaConf.save(self.config, folder / "multirun.yaml")
                study = self._study(space, directions, folder)
                self._run(study, space)
                write_results(study, folder / RESULTS)
        except Timeout:
            raise UserError(f"hydra.sweep.dir={folder}: another sweep is at work there; wait for its end") from None
        return None

    # ---- what is searched for

    def _directions(self) -> "list[Direction]":
        """The direction of each objective."""
        assert self.config is not None
        command = self.config.hydra.job.name
        if self.objectives:
            if self.direction is not None:
                raise ConfigError("hydra.sweeper.direction: each of hydra.sweeper.objectives has its own; leave it out")
            for key, direction in self.objectives.items():
                _check_direction(f"hydra.sweeper.objectives: {key}", direction)
                if OF_TEST.match(key):
                    raise ConfigError(
                        f"hydra.sweeper.objectives: {key} comes from test images, which choose nothing; take "
                        "train/best_val_degraded_accuracy, cost/... or latencies"
                    )
            return list(self.objectives.values())
        if self.direction is None:
            return ["maximize" if command in MAXIMISED else "minimize"]
        several: list[Any] = [self.direction] if isinstance(self.direction, str) else list(self.direction)
        for direction in several:
            _check_direction("hydra.sweeper.direction", direction)
        return several

    def _check(self) -> None:
        assert self.config is not None
        for name, value in (("n_trials", self.n_trials), ("n_jobs", self.n_jobs)):
            if type(value) is not int or value < 1:
                raise ConfigError(f"hydra.sweeper.{name}={value}: expected a whole number, 1 or more")
        if isinstance(self.max_failure_rate, bool) or not isinstance(self.max_failure_rate, int | float):
            raise ConfigError(f"hydra.sweeper.max_failure_rate={self.max_failure_rate}: expected a number from 0 to 1")
        if self.pruner is None:
            return
        command = self.config.hydra.job.name
        if command != "train" or self._directions() != ["maximize"] or self.objectives:
            raise ConfigError(
                "hydra.sweeper.pruner: trials are compared by their validation quality after each epoch, so pruning is "
                "for `train`, with what it returns as the one objective, to maximize; leave the pruner out"
            )

    def _study(self, space: "SearchSpace", directions: "Sequence[Direction]", folder: Path) -> "Study":
        from optuna.distributions import CategoricalDistribution, IntDistribution, distribution_to_json
        from optuna.samplers import BaseSampler

        from parity_exp.experiment.searching.studies import NAME, make, make_pruner, open_storage, open_study, trials_in

        arguments = {}
        if OmegaConf.select(self.sampler, "_partial_"):  # a grid, which has to know what is searched through
            grid: dict[str, list[Any]] = {}
            for key, distribution in space.searched.items():
                if isinstance(distribution, CategoricalDistribution):
                    grid[key] = list(distribution.choices)
                elif isinstance(distribution, IntDistribution) and not distribution.log:
                    grid[key] = list(range(distribution.low, distribution.high + 1, distribution.step))
                elif getattr(distribution, "step", None):
                    count = round((distribution.high - distribution.low) / distribution.step) + 1  # type: ignore[attr-defined]
                    grid[key] = [distribution.low + at * distribution.step for at in range(count)]  # type: ignore[attr-defined]
                else:
                    raise ConfigError(f"{key}: a grid needs choices or a range; an interval has no end of values")
            arguments["search_space"] = grid
            self.n_trials = min(self.n_trials, math.prod(map(len, grid.values())))
        storage, name = open_storage(self.storage, folder), self.study_name or NAME
        node = self.sampler
        done = trials_in(storage, name)
        if done and not arguments and type(node.get("seed")) is int:
            # Random numbers that go on, where a study that is gone on with would be asked the same again.
            node = OmegaConf.merge(node, {"seed": node.seed + done})
        sampler = make(node, "sampler", **arguments)
        if not isinstance(sampler, BaseSampler):
            raise ConfigError(f"hydra.sweeper.sampler ({self.sampler.get('_target_')}): expected a sampler of Optuna's")
        made_from = {
            "searched": {key: distribution_to_json(one) for key, one in space.searched.items()},
            "fixed": dict(space.fixed),
            "directions": list(directions),
            "objectives": list(self.objectives),
        }
        parts = {"sampler": sampler, "pruner": make_pruner(self.pruner)}
        return open_study(storage, name, directions, made_from, **parts)

    # ---- trials

    def _run(self, study: "Study", space: "SearchSpace") -> None:
        """Run what was running when the sweep was killed, then what is left to ask for."""
        left = self._left_running(study, space)
        if left:
            log.info("going on with trials %s, which a killed sweep has left", [number for number, _ in left])
        self._launch(study, left)
        while not self._exhausted and (missing := self.n_trials - len(study.get_trials(deepcopy=False))) > 0:
            asked = [self._ask(study, space) for _ in range(min(self.n_jobs, missing))]
            self._launch(study, asked)

    def _ask(self, study: "Study", space: "SearchSpace") -> tuple[int, list[str]]:
        """A new trial's number and command line."""
        trial: Trial = study.ask(dict(space.searched))
        if self.custom_search_space is not None:
            from hydra.utils import get_method

            get_method(self.custom_search_space)(self.config, trial)
        return trial.number, space.overrides(trial.params)

    def _left_running(self, study: "Study", space: "SearchSpace") -> list[tuple[int, list[str]]]:
        """Trials of a killed sweep; those that had not chosen all of their values are ended as failed."""
        from optuna.trial import TrialState

        if self.storage is not None and "://" in self.storage:
            return []  # others may be at work on them
        left = []
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            if space.searched.keys() <= trial.params.keys():
                left.append((trial.number, space.overrides(trial.params)))
            else:
                self._record(study, trial.number, state=TrialState.FAIL)
        return left

    def _launch(self, study: "Study", trials: Sequence[tuple[int, list[str]]]) -> None:
        """Run trials as jobs with their numbers, and tell the study what they came to.

        Raises:
            Exception: the first of a failed trial, where too many have failed.
        """
        assert self.launcher is not None
        for batch in _batches(trials, self.n_jobs):
            first, lines = batch[0][0], [line for _, line in batch]
            self.validate_batch_is_legal(lines)
            returned = self.launcher.launch(lines, initial_job_idx=first)
            failed = [
                job for (number, _), job in zip(batch, returned, strict=True) if not self._tell(study, number, job)
            ]
            if len(failed) > self.max_failure_rate * len(batch):
                _ = failed[0].return_value  # raises what the job has raised
                raise UserError("hydra/sweeper=optuna: a trial gave no number to compare; see the log above")

    def _tell(self, study: "Study", number: int, job: JobReturn) -> bool:
        """Tell the study what a job came to; False where it failed."""
        from optuna.trial import TrialState

        from parity_exp.experiment.searching.pruning import PrunedError

        if job.status != JobStatus.COMPLETED:
            # Looked at without being raised; a job in another process may bring only the name of its error's class.
            error = job._return_value
            if isinstance(error, PrunedError):
                log.info("trial %d: %s", number, error)
                self._record(study, number, state=TrialState.PRUNED)
                return True
            log.warning("trial %d failed: %s", number, error)
            self._record(study, number, state=TrialState.FAIL)
            return False
        values = self._values(job)
        if values is None or len(values) != len(study.directions) or not all(map(math.isfinite, values)):
            log.warning(
                "trial %d failed: it came to %s, where %d finite numbers were expected",
                number, values, len(study.directions),
            )  # fmt: skip
            self._record(study, number, state=TrialState.FAIL)
            return False
        self._record(study, number, values=values)
        return True

    def _record(self, study: "Study", number: int, **came_to: Any) -> None:
        try:
            study.tell(number, **came_to)
        except RuntimeError as error:
            if "Study.stop" not in str(error):
                raise
            self._exhausted = True  # the trial is told; the sampler has nothing more to try

    def _values(self, job: JobReturn) -> list[float] | None:
        """The objectives of a job that has ended well; None where it lacks one."""
        if self.objectives:
            from parity_exp.recordings.run_directory import RunDirectory

            assert job.hydra_cfg is not None
            metrics = RunDirectory(job.hydra_cfg.hydra.runtime.output_dir).read_metrics()
            return [metrics[key] for key in self.objectives] if self.objectives.keys() <= metrics.keys() else None
        value = job.return_value
        try:
            return [float(part) for part in (value if isinstance(value, list | tuple) else [value])]
        except (TypeError, ValueError):
            return None


def _batches(trials: Sequence[tuple[int, list[str]]], most: int) -> list[list[tuple[int, list[str]]]]:
    """Trials in batches of consecutive numbers, for launchers count jobs from the first one's."""
    batches: list[list[tuple[int, list[str]]]] = []
    for number, line in trials:
        if batches and len(batches[-1]) < most and batches[-1][-1][0] == number - 1:
            batches[-1].append((number, line))
        else:
            batches.append([(number, line)])
    return batches


def _check_direction(key: str, direction: object) -> None:
    if direction not in DIRECTIONS:
        raise ConfigError(f"{key}={direction}: expected minimize or maximize")


def write_results(study: "Study", path: Path) -> None:
    """Write the best trial, or with several objectives those that no other is better than in all, and log it."""
    from parity_exp.files.writing import write_text

    several = len(study.directions) > 1
    best = study.best_trials
    if not best:
        log.warning("no trial came to its end, so there is no best one")
        return
    if several:
        solutions = [{"params": _plain(trial), "values": list(trial.values)} for trial in best]
        content: dict[str, Any] = {"name": "optuna", "solutions": solutions}
        log.info("%d trials that no other is better than in everything: %s", len(best), path)
    else:
        first = best[0]
        content = {"name": "optuna", "best_params": _plain(first), "best_value": first.values[0]}
        log.info("best trial %d of %d: %s, %s", first.number, len(study.trials), _plain(first), first.values[0])
    write_text(path, yaml.safe_dump(content, sort_keys=False))


def _plain(trial: "FrozenTrial") -> dict[str, Any]:
    """A trial's values; choices, which are texts, as YAML reads them."""
    values = {}
    for key, value in trial.params.items():
        try:
            values[key] = yaml.safe_load(value) if isinstance(value, str) else value
        except yaml.YAMLError:
            values[key] = value
    return values
