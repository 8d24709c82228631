"""Reading run directories, many at a time.

Nothing that is wrong with one of them stops the others: each comes with one line for whatever is wrong with it. Files
of recordings are not read, only looked at from both ends.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from parity_exp.errors import UserError
from parity_exp.recordings import names
from parity_exp.recordings.measures import PER_MILLE
from parity_exp.recordings.metric_keys import PLANNED, SIMULATED, metrics_by_policy, prefix_of
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.recordings.search import COMMAND, find_run_directories

PARQUET, PARQUET_SHORTEST = b"PAR1", 12

LARGEST = 2.0**60
"""No metric of a job is larger: operations, queries, bytes and nanoseconds are all below."""

LATENCIES = tuple(f"latency_ms/{name}" for name in PER_MILLE)
"""What is known of every policy that was served or simulated."""

State = Literal["finished", "unfinished", "damaged"]


@dataclass(frozen=True)
class GatheredRun:
    """What a run directory says about its run.

    Attributes:
        path: the directory.
        state: ``finished`` with metrics, ``unfinished`` without, ``damaged`` where config or metrics cannot be read.
        problems: a line each.
        config: as plain values; empty where it cannot be read.
        metrics: those of ``metrics.json``.
        environment: that of ``environment.json``.
        files: names in the directory.
    """

    path: Path
    state: State
    problems: Sequence[str] = ()
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    files: frozenset[str] = frozenset()

    @cached_property
    def policies(self) -> dict[str, dict[str, float]]:
        """Metrics of serving, by policy."""
        return metrics_by_policy(self.metrics)

    @cached_property
    def command(self) -> str:
        """The command that made the run, as it was given, or else as far as its metrics tell."""
        arguments = self.environment.get("command")
        given = COMMAND.findall(" ".join(map(str, arguments))) if isinstance(arguments, list) else []
        if given:
            return str(given[-1])
        trained, served = any(key.startswith("train/") for key in self.metrics), bool(self.policies)
        if trained:
            return "run" if served else "train"
        if prefix_of(self.metrics) == SIMULATED or any(key.startswith(f"{PLANNED}/") for key in self.metrics):
            return "simulate"
        return "serve" if served else "evaluate" if self.metrics else "unknown"


def gather(patterns: Sequence[str]) -> list[GatheredRun]:
    """Read every run directory that patterns of the shell lead to, in the natural order of their paths.

    Args:
        patterns: each names folders, which are searched through to the bottom, or files in run directories; ``**``
            stands for any number of folders. Relative ones begin at the current folder.
    """
    return [read_run(path) for path in find_run_directories(patterns)]


def read_run(path: Path) -> GatheredRun:
    """Read a run directory, whatever state it is in."""
    run = RunDirectory(path)
    problems: list[str] = []
    try:
        files = frozenset(entry.name for entry in os.scandir(path))
    except OSError as error:
        return GatheredRun(path, "damaged", [f"cannot be read ({error.strerror})"])
    environment = _read_json(run.environment, problems) if names.ENVIRONMENT in files else {}
    config: dict[str, Any] = {}
    state: State = "finished"
    if names.CONFIG not in files:
        return GatheredRun(path, "unfinished", [f"no {names.CONFIG}: the job ended before it began"], files=files)
    try:
        config = run.read_config()
    except UserError as error:
        state = "damaged"
        problems.insert(0, str(error).removeprefix(f"{path}/"))
    except OSError as error:
        state = "damaged"
        problems.insert(0, f"{names.CONFIG} cannot be read ({error.strerror})")
    metrics: dict[str, float] = {}
    if names.METRICS in files:
        before = len(problems)
        values = _read_json(run.metrics, problems)
        if len(problems) == before:
            metrics = {key: value for key, value in values.items() if type(value) in (int, float)}
            problems += _faults(metrics)
        if len(problems) > before:
            state, metrics = "damaged", {}
    elif state == "finished":
        state = "unfinished"
        problems.append(_how_far(files))
    problems += _recordings(path, files, metrics)
    return GatheredRun(path, state, problems, config, metrics, environment or {}, files)


def _faults(metrics: dict[str, float]) -> Iterator[str]:
    """A line for each thing that no metrics of a job are like: they cannot be shown beside others."""
    if all(math.isnan(value) for value in metrics.values()):
        yield f"{names.METRICS}: no numbers in it"
        return
    for key, value in metrics.items():
        if not math.isnan(value) and abs(value) > LARGEST:
            yield f"{names.METRICS}: {key} is {value:.3g}, which cannot have been measured"
            return
    for policy, values in metrics_by_policy(metrics).items():
        missing = [name for name in LATENCIES if name not in values]
        if missing:
            yield f"{names.METRICS}: no {missing[0]} of {policy}"
            return
        impossible = [name for name in LATENCIES if values[name] <= 0]
        if impossible:
            yield f"{names.METRICS}: {impossible[0]} of {policy} is {values[impossible[0]]:g}"
            return


def _how_far(files: frozenset[str]) -> str:
    served = _recorded(files)
    if served:
        return f"no {names.METRICS}: still at work, or stopped after {', '.join(served)} was served"
    if names.HISTORY in files or names.CHECKPOINTS in files:
        return f"no {names.METRICS}: still at work, or stopped while it trained (train resume=... goes on)"
    return f"no {names.METRICS}: still at work, or stopped before it did anything"


def _recordings(path: Path, files: frozenset[str], metrics: dict[str, float]) -> Iterator[str]:
    """A line for each recording that is cut short, and for policies whose queries nobody has counted."""
    for name in sorted(name for name in files if name.endswith(".parquet")):
        fault = _parquet_fault(path / name)
        if fault:
            yield f"{name}: {fault}; its metrics, where there are any, still count"
    prefix = prefix_of(metrics)
    uncounted = [policy for policy in _recorded(files) if f"{prefix}/{policy}/queries" not in metrics]
    if uncounted and metrics:
        yield f"no metrics of {', '.join(uncounted)}: still at work, or stopped while it served"


def _recorded(files: frozenset[str]) -> list[str]:
    """Policies with recordings, by name."""
    return sorted(policy for name in files if (policy := names.QUERIES.policy_of(name)) is not None)


def _parquet_fault(path: Path) -> str | None:
    """What is wrong with a Parquet file, as far as its ends tell: both have to be ``PAR1``."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            if size < PARQUET_SHORTEST:
                return "cut short"
            stream.seek(0)
            head = stream.read(4)
            stream.seek(-4, os.SEEK_END)
            whole = head == stream.read(4) == PARQUET
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if whole else "cut short" if head == PARQUET else "not a Parquet file"


def _read_json(path: Path, problems: list[str]) -> dict[str, Any]:
    """An object from a file; empty, with a line among the problems, where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        problems.append(f"{path.name} cannot be read ({error.strerror})")
        return {}
    except (ValueError, RecursionError) as error:
        problems.append(f"{path.name}: not readable as JSON ({error})")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path.name}: not a JSON object")
        return {}
    return content
