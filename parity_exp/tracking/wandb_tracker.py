"""Tracking by Weights & Biases: one run a job, offline where nobody is logged in, never a question."""

import glob
import hashlib
import logging
import netrc
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pandas as pd

from parity_exp.ranges import Text
from parity_exp.tracking import wandb_environment as environment
from parity_exp.tracking.tracker import Job, Tracker

log = logging.getLogger(__name__)

PROJECT = "parity_exp"
"""The project of runs for which neither the config nor ``WANDB_PROJECT`` names one."""


class WandbTracker(Tracker):
    """One W&B run a job, in the job's run directory.

    The run is online when somebody is logged in and ``WANDB_MODE`` does not say otherwise; when the server cannot be
    reached, and whenever nobody is logged in, it is offline, and ``wandb sync`` sends it later. It never asks for a
    login, not even with ``WANDB_MODE=online``. W&B's environment variables hold where the config says nothing.

    Args:
        project: W&B project; ``WANDB_PROJECT`` or ``parity_exp`` where it is not given.
        entity: user or team; ``WANDB_ENTITY`` or W&B's default where it is not given.
        name: name of the run; ``WANDB_NAME`` or the job's overrides where it is not given.
        tags: tags of the run; ``WANDB_TAGS`` where there are none.
        checkpoints: also store the checkpoints as an artifact.
    """

    def __init__(
        self,
        project: Text | None = None,
        entity: Text | None = None,
        name: Text | None = None,
        tags: Sequence[Text] = (),
        checkpoints: bool = False,
    ) -> None:
        self.project = project
        self.entity = entity
        self.name = name
        self.tags = list(tags)
        self.store_checkpoints = checkpoints
        self.run: Any = None

    def start(self, job: Job) -> None:
        import wandb  # here, for the package may be absent; then the job goes on without

        environment.mend()
        mode = environment.mode()
        if mode == "online" and not logged_in():
            mode = "offline"
            log.info("Weights & Biases: nobody is logged in, so the run is tracked offline in %s", _folder(job))
        before = _online_runs(job)
        try:
            self.run = self._init(job, mode)
        except (wandb.errors.CommError, wandb.errors.AuthenticationError, wandb.errors.UsageError) as error:
            if mode == "offline":
                raise
            reason = str(error).splitlines()[0]
            log.warning("Weights & Biases: %s; the run is tracked offline in %s", reason, _folder(job))
            self._forget_online_run(job, before)
            self.run = self._init(job, "offline")
        self.run.define_metric("coded/*", step_metric="coded/epoch")
        self.run.define_metric("base/*", step_metric="base/epoch")
        self.run.define_metric("backup/*", step_metric="backup/epoch")

    def _init(self, job: Job, mode: str) -> Any:
        import wandb

        with _readable_refusal():
            settings = wandb.Settings(
                init_timeout=environment.init_timeout_s(), root_dir=_folder(job), **environment.quiet_settings()
            )
            return wandb.init(
                project=self.project or environment.variable("PROJECT") or PROJECT,
                entity=self.entity or environment.variable("ENTITY"),
                name=self.name or environment.variable("NAME") or job.name or None,
                group=environment.variable("RUN_GROUP") or job.sweep,
                job_type=environment.variable("JOB_TYPE") or job.command,
                tags=self.tags or environment.tags(),
                notes=environment.variable("NOTES"),
                config=dict(job.config),
                dir=_folder(job),
                id=_id(job),
                resume="allow" if job.resumed else None,
                mode=mode,  # type: ignore[arg-type]
                reinit="finish_previous",
                settings=settings,
            )

    @staticmethod
    def _forget_online_run(job: Job, before: set[Path]) -> None:
        """End W&B's service, which still tries to start the run online, and remove what it wrote of it."""
        import wandb

        wandb.teardown(exit_code=1)
        for attempt in _online_runs(job) - before:
            shutil.rmtree(attempt, ignore_errors=True)

    def epoch(self, phase: str, row: Mapping[str, float]) -> None:
        self.run.log({f"{phase}/{name}": value for name, value in row.items()})

    def results(self, metrics: Mapping[str, float], tables: Mapping[str, pd.DataFrame]) -> None:
        import wandb

        self.run.summary.update(dict(metrics))
        self.run.log({name: wandb.Table(dataframe=table) for name, table in tables.items()})

    def figures(self, paths: Sequence[Path]) -> None:
        import wandb

        self.run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in paths})

    def checkpoints(self, paths: Sequence[Path]) -> None:
        if not self.store_checkpoints:
            return
        import wandb

        artifact = wandb.Artifact(f"checkpoints-{self.run.id}", type="model")
        for path in paths:
            artifact.add_file(str(path))
        self.run.log_artifact(artifact)

    def finish(self, succeeded: bool) -> None:
        if self.run is not None:
            self.run.finish(exit_code=0 if succeeded else 1)


@contextmanager
def _readable_refusal() -> Iterator[None]:
    """W&B checks its settings by pydantic, whose first line says neither what nor why."""
    try:
        yield
    except ValueError as error:
        problems: Any = getattr(error, "errors", None)
        if problems is None:
            raise
        first = problems()[0]
        setting = ".".join(map(str, first.get("loc", ())))
        raise ValueError(
            f"W&B cannot take {setting}={first.get('input')!r} ({first.get('msg')}); mend the variable WANDB_... or "
            "the value of tracker that it comes from"
        ) from None


def _online_runs(job: Job) -> set[Path]:
    """Folders that W&B has made for a job, by this attempt or an earlier part of the same job."""
    return set(Path(_folder(job), "wandb").glob(f"run-*-{glob.escape(_id(job))}"))


def _folder(job: Job) -> str:
    """Where W&B makes its folder."""
    return environment.variable("DIR") or str(job.run_dir)


def _id(job: Job) -> str:
    """The run's id; jobs of a sweep cannot share the one that the environment names."""
    named = None if job.sweep else environment.variable("RUN_ID")
    return named or run_id(job.run_dir, job.command)


def run_id(run_dir: Path, command: str) -> str:
    """A W&B run's id, the same whenever a job in the same run directory is resumed."""
    return hashlib.sha256(f"{socket.gethostname()}:{run_dir.resolve()}:{command}".encode()).hexdigest()[:12]


def logged_in() -> bool:
    """Whether W&B would find credentials by itself: in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        path = os.environ.get("NETRC") or str(Path("~/.netrc").expanduser())
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, RuntimeError, netrc.NetrcParseError):  # no file, no home, or no such file
        return False
