"""The run directory: the contract between commands, and with anyone's scripts.

Who wants a path or a file of a run asks here; the names stand in :mod:`~parity_exp.recordings.names`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from parity_exp.errors import UserError
from parity_exp.files.writing import write_json, write_text
from parity_exp.recordings import names
from parity_exp.recordings.environment import environment
from parity_exp.recordings.plain_yaml import QUICK_YAML, to_yaml


class RunDirectory:
    """Paths and small files of one run.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def existing(cls, path: str | Path, key: str, command: str = "train") -> "RunDirectory":
        """A run directory that a job has written.

        Args:
            path: the directory.
            key: the config key that named it, for messages.
            command: what writes those that are wanted, for messages.

        Raises:
            UserError: it is not one.
        """
        run = cls(path)
        if not run.config.is_file():
            raise UserError(
                f"{key}={path}: not a run directory (it has no {names.CONFIG}); give one that `{command}` has "
                f"written, such as outputs/{command}/<date>/<time>"
            )
        return run

    # ---- what was run, and on what

    @property
    def config(self) -> Path:
        return self.path / names.CONFIG

    @property
    def environment(self) -> Path:
        """What the run ran on."""
        return self.path / names.ENVIRONMENT

    @property
    def policies(self) -> Path:
        """How policies appear."""
        return self.path / names.POLICIES

    @property
    def components(self) -> Path:
        """What the classes of all components say of themselves."""
        return self.path / names.COMPONENTS

    @property
    def overrides(self) -> Path:
        """What was given on the command line, as Hydra has put it down."""
        return self.path / names.HYDRA / names.OVERRIDES

    # ---- training

    @property
    def checkpoints(self) -> Path:
        return self.path / names.CHECKPOINTS

    def all_checkpoints(self) -> list[Path]:
        """Those that are there, by name."""
        return sorted(self.checkpoints.glob(names.checkpoint_of("*")))

    def checkpoint(self, part: str) -> Path:
        """Best weights of ``base``, ``parity-<j>``, ``encoder`` or ``decoder``; ``last``: for going on."""
        return self.checkpoints / names.checkpoint_of(part)

    @property
    def base_is_final(self) -> bool:
        return self.checkpoint("base").is_file()

    @property
    def history(self) -> Path:
        """A row an epoch of the coded model."""
        return self.path / names.HISTORY

    @property
    def base_history(self) -> Path:
        """A row an epoch of the base model, where this run or an earlier one trained it."""
        return self.history_of("base")

    def history_of(self, section: str) -> Path:
        """A row an epoch of a network that is trained beside the coded model, such as ``base`` and ``backup``."""
        return self.path / names.history_of(section)

    def code_search(self, policy: str | None = None) -> Path:
        """A row a setting that was tried of the run's own code, or of a policy's."""
        return self.path / (names.OWN_CODE_SEARCH if policy is None else names.CODE_SEARCH(policy))

    # ---- results

    @property
    def metrics(self) -> Path:
        return self.path / names.METRICS

    def table(self, name: str) -> Path:
        """A table of results by its name, ``per_class`` or ``overall``."""
        return self.path / f"{name}{names.TABLE}"

    @property
    def per_class(self) -> Path:
        """A row a class."""
        return self.path / names.PER_CLASS

    @property
    def overall(self) -> Path:
        """Overall quality by the fraction of predictions that is unavailable."""
        return self.path / names.OVERALL

    @property
    def figures(self) -> Path:
        return self.path / names.FIGURES

    @property
    def report(self) -> Path:
        return self.path / names.REPORT

    # ---- serving and simulation

    @property
    def arrivals(self) -> Path:
        """Scheduled arrivals, warm-up included."""
        return self.path / names.ARRIVALS

    @property
    def trace(self) -> Path:
        """What was injected into instances."""
        return self.path / names.TRACE

    def queries(self, policy: str) -> Path:
        """A row a measured query."""
        return self.path / names.QUERIES(policy)

    def tasks(self, policy: str) -> Path:
        """A row a task."""
        return self.path / names.TASKS(policy)

    def errors(self, policy: str) -> Path:
        """A row a distinct error of instances and models."""
        return self.path / names.ERRORS(policy)

    def recorded_policies(self) -> list[str]:
        """Policies with recordings, by name."""
        found = (names.QUERIES.policy_of(path.name) for path in self.path.iterdir())
        return sorted(policy for policy in found if policy is not None)

    @property
    def seeds(self) -> Path:
        """A row a seed and policy of a simulation of several seeds."""
        return self.path / names.SEEDS

    @property
    def pairs(self) -> Path:
        """A row a pair of policies and percentile of a simulation of several seeds: ratios of their latencies."""
        return self.path / names.PAIRS

    @property
    def plan(self) -> Path:
        """A row a policy and objective, where capacity was planned."""
        return self.path / names.PLAN

    @property
    def plan_sizes(self) -> Path:
        """A row a policy and size that was simulated for a plan."""
        return self.path / names.PLAN_SIZES

    # ---- reading and writing

    def first_command(self) -> str | None:
        """The command that wrote the run, by Hydra's first record of it; None where there is none."""
        try:
            record = yaml.load((self.path / names.HYDRA / names.HYDRA_RECORD).read_bytes(), Loader=QUICK_YAML)
            return str(record["hydra"]["job"]["name"])
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            return None

    def read_overrides(self) -> list[str] | None:
        """What was given on the command line; None where nobody has put it down, or it is damaged."""
        try:
            given = yaml.load(self.overrides.read_bytes(), Loader=QUICK_YAML)
        except (OSError, yaml.YAMLError, ValueError):
            return None
        return [str(line) for line in given or ()] if isinstance(given, list | None) else None

    def read_config(self) -> dict[str, Any]:
        """The resolved config as plain values, by a parser that is quick enough for thousands of runs.

        Raises:
            UserError: it is damaged.
        """
        try:
            config = yaml.load(self.config.read_bytes(), Loader=QUICK_YAML)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f" in line {mark.line + 1}"
            what = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise UserError(f"{self.config}: not readable as YAML ({what}{where}); restore it or run again") from None
        except (ValueError, RecursionError, ArithmeticError) as error:  # of values that YAML takes for dates or numbers
            raise UserError(f"{self.config}: not readable as YAML ({error}); restore it or run again") from None
        if not isinstance(config, dict) or not isinstance(config.get("k"), int):
            raise UserError(f"{self.config}: not the config of a run (it has no k); restore it or run again")
        return {str(key): value for key, value in config.items()}

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write a config; what it interpolates is written as the values that its items are."""
        write_text(self.config, to_yaml(config))

    def write_metrics(self, metrics: Mapping[str, float]) -> None:
        write_json(self.metrics, metrics)

    def read_metrics(self) -> dict[str, float]:
        """What :meth:`write_metrics` has written.

        Raises:
            UserError: the file is damaged.
        """
        return read_json(self.metrics)

    def write_environment(self, seed: int, devices: Sequence[str]) -> None:
        """Record what the run ran on."""
        write_json(self.environment, environment(seed, devices))

    def read_environment(self) -> dict[str, Any]:
        """What :meth:`write_environment` has written; empty where nobody has.

        Raises:
            UserError: the file is damaged.
        """
        return read_json(self.environment) if self.environment.is_file() else {}


def read_json(path: Path) -> dict[str, Any]:
    """An object from a file.

    Raises:
        UserError: the file is damaged.
    """
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); restore it or run again") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected an object; restore it or run again")
    return values
