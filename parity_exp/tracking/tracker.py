"""What every tracker is: it is told what a job does, and is closed when the job ends, however it ends."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Job:
    """What a tracker should know about a job when it starts.

    Attributes:
        command: ``train``, ``evaluate``, ...
        run_dir: the run directory.
        config: the resolved config.
        sweep: name of the sweep that the job belongs to, if it does.
        name: a short description: what was overridden on the command line.
        resumed: true when the run directory holds an earlier part of the same job.
    """

    command: str
    run_dir: Path
    config: Mapping[str, Any]
    sweep: str | None = None
    name: str | None = None
    resumed: bool = False


class Tracker(ABC):
    """Base class of trackers. Calls come in this order: start, any of the others, finish."""

    @abstractmethod
    def start(self, job: Job) -> None:
        """Begin to track a job."""

    @abstractmethod
    def epoch(self, phase: str, row: Mapping[str, float]) -> None:
        """Take a row of a phase's history; ``row["epoch"]`` counts from 1."""

    @abstractmethod
    def results(self, metrics: Mapping[str, float], tables: Mapping[str, pd.DataFrame]) -> None:
        """Take the job's final metrics and tables."""

    @abstractmethod
    def figures(self, paths: Sequence[Path]) -> None:
        """Take the job's pictures."""

    @abstractmethod
    def checkpoints(self, paths: Sequence[Path]) -> None:
        """Take the job's checkpoints."""

    @abstractmethod
    def finish(self, succeeded: bool) -> None:
        """Close the run; called once, also when the job fails or is interrupted."""


class NoTracker(Tracker):
    """Tracks nothing; the run directory holds everything anyway."""

    def start(self, job: Job) -> None:
        pass

    def epoch(self, phase: str, row: Mapping[str, float]) -> None:
        pass

    def results(self, metrics: Mapping[str, float], tables: Mapping[str, pd.DataFrame]) -> None:
        pass

    def figures(self, paths: Sequence[Path]) -> None:
        pass

    def checkpoints(self, paths: Sequence[Path]) -> None:
        pass

    def finish(self, succeeded: bool) -> None:
        pass
