"""The run directory: the contract between commands, and with anyone's scripts.

Who wants a path or a file of a run asks here; the names stand in no other place.
"""

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

import parity_exp
from parity_exp.errors import UserError
from parity_exp.files.writing import write_json, write_text

QUICK_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "wandb",
    "numpy",
    "pandas",
)


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
                f"{key}={path}: not a run directory (it has no config.yaml); give one that `{command}` has "
                f"written, such as outputs/{command}/<date>/<time>"
            )
        return run

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def environment(self) -> Path:
        """What the run ran on."""
        return self.path / "environment.json"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def history(self) -> Path:
        """A row an epoch of the coded model."""
        return self.path / "history.csv"

    @property
    def base_history(self) -> Path:
        """A row an epoch of the base model, where this run or an earlier one trained it."""
        return self.path / "base_history.csv"

    def checkpoint(self, part: str) -> Path:
        """Best weights of ``base``, ``parity-<j>``, ``encoder`` or ``decoder``."""
        return self.checkpoints / f"{part}.ckpt"

    @property
    def base_is_final(self) -> bool:
        return self.checkpoint("base").is_file()

    def first_command(self) -> str | None:
        """The command that wrote the run, by Hydra's first record of it; None where there is none."""
        try:
            record = yaml.load((self.path / ".hydra" / "hydra.yaml").read_bytes(), Loader=QUICK_YAML)
            return str(record["hydra"]["job"]["name"])
        except (OSError, YAMLError, KeyError, TypeError):
            return None

    def read_config(self) -> DictConfig:
        """The resolved config of the run.

        Raises:
            UserError: it is damaged.
        """
        try:
            config = OmegaConf.load(self.config)
        except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
            raise UserError(f"{self.config}: not readable as a config ({str(error).splitlines()[0]})") from None
        if not isinstance(config, DictConfig) or "k" not in config:
            raise UserError(f"{self.config}: not the config of a run; restore it or start a new run")
        return config

    def read_plain_config(self) -> dict[str, Any]:
        """The resolved config as plain values, by a parser that is quick enough for thousands of runs.

        Raises:
            UserError: it is damaged.
        """
        try:
            config = yaml.load(self.config.read_bytes(), Loader=QUICK_YAML)
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f" in line {mark.line + 1}"
            what = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise UserError(f"{self.config}: not readable as YAML ({what}{where}); restore it or run again") from None
        except (ValueError, RecursionError, ArithmeticError) as error:  # of values that YAML takes for dates or numbers
            raise UserError(f"{self.config}: not readable as YAML ({error}); restore it or run again") from None
        if not isinstance(config, dict) or not isinstance(config.get("k"), int):
            raise UserError(f"{self.config}: not the config of a run (it has no k); restore it or run again")
        return {str(key): value for key, value in config.items()}

    def write_config(self, config: DictConfig) -> None:
        write_text(self.config, OmegaConf.to_yaml(config, resolve=True))

    def write_metrics(self, metrics: Mapping[str, float]) -> None:
        write_json(self.metrics, metrics)

    def read_metrics(self) -> dict[str, float]:
        """What :meth:`write_metrics` has written.

        Raises:
            UserError: the file is damaged.
        """
        try:
            values = json.loads(self.metrics.read_bytes())
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.metrics}: not readable as JSON ({error}); restore it or run again") from None
        if not isinstance(values, dict):
            raise UserError(f"{self.metrics}: expected an object; restore it or run again")
        return values

    def write_environment(self, seed: int, devices: list[str]) -> None:
        """Record what the run ran on, so that it can be told apart from others, and run again."""
        content = {
            "parity_exp": parity_exp.__version__,
            "git_revision": git_revision(),
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in PACKAGES},
            "platform": platform.platform(),
            "host": socket.gethostname(),
            "cpus": os.cpu_count(),
            "devices": devices,
            "seed": seed,
            "command": sys.argv,
        }
        write_json(self.environment, content)


def _version(package: str) -> str | None:
    """What is installed; None where the package or its metadata is not, as in bundles and without some trackers."""
    try:
        return metadata.version(package)
    except Exception:  # damaged metadata fail in whatever way their bytes lead to
        return None


def git_revision() -> str | None:
    """The revision of the checkout that this package runs from, with ``+`` where it is changed; None outside one."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        if folder.name not in git("ls-files", "--full-name", "__init__.py"):
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
