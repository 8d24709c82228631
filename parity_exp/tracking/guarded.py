"""A tracker that may fail: the job that it tracks is worth more than its record elsewhere."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from parity_exp.process import interrupts
from parity_exp.process.side_channels import in_a_line
from parity_exp.tracking.tracker import Job, Tracker

log = logging.getLogger(__name__)


class Guarded(Tracker):
    """Tells another tracker everything until that fails; then there is one warning, and it is told no more.

    A tracker that has begun is closed all the same, so that whatever it has started ends.

    Args:
        tracker: the other one.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._failed = False

    def start(self, job: Job) -> None:
        self._tell("start", job)

    def epoch(self, phase: str, row: Mapping[str, float]) -> None:
        self._tell("epoch", phase, row)

    def results(self, metrics: Mapping[str, float], tables: Mapping[str, pd.DataFrame]) -> None:
        self._tell("results", metrics, tables)

    def figures(self, paths: Sequence[Path]) -> None:
        self._tell("figures", paths)

    def checkpoints(self, paths: Sequence[Path]) -> None:
        self._tell("checkpoints", paths)

    def finish(self, succeeded: bool) -> None:
        self._call("finish", succeeded)

    def _tell(self, what: str, *arguments: Any) -> None:
        if not self._failed:
            self._call(what, *arguments)

    def _call(self, what: str, *arguments: Any) -> None:
        try:
            getattr(self._tracker, what)(*arguments)
        except Exception as error:
            interrupts.check()
            if not self._failed:
                name = type(self._tracker).__name__
                log.warning("%s: %s; from here on the job is not tracked by it", name, in_a_line(error))
                log.debug("in full", exc_info=error)
            self._failed = True
