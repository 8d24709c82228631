"""What a run directory says about its run, read when it is asked for. Whatever it lacks is empty or None."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pandas as pd

from parity_exp.policies.look import Look
from parity_exp.recordings.descriptions import read_descriptions
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.metric_keys import metrics_by_policy
from parity_exp.recordings.reader import Recordings, read_recordings, read_table
from parity_exp.recordings.run_directory import RunDirectory


class OneRun:
    """A run, whatever state it is in.

    Args:
        directory: its run directory.

    Raises:
        UserError: its config is damaged; reading on, that another file is.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.config: dict[str, Any] = directory.read_config()

    @cached_property
    def metrics(self) -> dict[str, float]:
        """What the run has written; of an interrupted one what its recordings give."""
        content = self.directory.read_metrics() if self.directory.metrics.is_file() else {}
        written = {key: value for key, value in content.items() if isinstance(value, int | float)}
        if metrics_by_policy(written):
            return written
        return written | {
            f"serve/{policy}/{name}": value
            for policy, queries in read_recordings(self.directory.path).queries.items()
            for name, value in serving_metrics(queries).items()
        }

    @cached_property
    def policies(self) -> dict[str, dict[str, float]]:
        """Metrics of what was served, or simulated, by policy."""
        return metrics_by_policy(self.metrics)

    @cached_property
    def recordings(self) -> Recordings:
        return read_recordings(self.directory.path, self.policies)

    @property
    def looks(self) -> Mapping[str, Look]:
        """How policies appear, as far as they say so."""
        return self.recordings.looks

    @cached_property
    def descriptions(self) -> dict[str, dict[str, str]]:
        """What components say of themselves, by their places in the config."""
        return read_descriptions(self.directory.path)

    @cached_property
    def plan(self) -> pd.DataFrame | None:
        """A row a policy and objective, where capacity was planned."""
        return read_table(self.directory.plan)

    @cached_property
    def overall(self) -> pd.DataFrame | None:
        """Overall quality by the fraction of predictions that is unavailable."""
        return read_table(self.directory.overall)

    @property
    def planned_policies(self) -> list[str]:
        return [] if self.plan is None else list(dict.fromkeys(self.plan["policy"]))

    @property
    def slo_ms(self) -> float | None:
        """The deadline."""
        value = self.load.get("slo_ms")
        return value if isinstance(value, int | float) else None

    @property
    def load(self) -> Mapping[str, Any]:
        load = self.config.get("load")
        return load if isinstance(load, Mapping) else {}
