"""Which of a config's values determine results, and what lies behind the values that only name something.

Everything counts but a short list of what cannot matter: a value that nobody thought of makes another result, and is
not taken for the same.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

import parity_exp
from parity_exp.experiment.sections import of_part
from parity_exp.files.identity import Facts, digest_of_files, digest_of_weights, flat, sources_of, without
from parity_exp.recordings import names

if TYPE_CHECKING:
    from torch import nn

CACHE_VERSION = 3
"""Raised when training a base model changes in a way that its config does not show."""

CANNOT_MATTER = (
    *of_part("job"),
    "dataset.root",  # of data it is the content that counts
    "dataset.cache",
    "simulate.processes",
    "simulate.ray",
    "trainer.default_root_dir",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.log_every_n_steps",
    "trainer.logger",
    "trainer.profiler",
)
"""Parts of a config that change no result: what is shown, where it is put, and where it is found."""

NOT_OF_BASE = (
    *of_part("evaluation", "serving", "code"),
    "run",  # what a small model is served beside
    "trainer.max_epochs",
)
"""Parts of the coded model, which a base model does not depend on."""

MACHINE = ("trainer.accelerator", "trainer.devices", "trainer.num_nodes")
"""Parts that say what training runs on; what they come to is a device and a number of processes."""

ACCELERATION = ("acceleration", "trainer.strategy")
"""Parts that say by what means a machine is used, which differ by roundings."""

LENGTH_AND_MACHINE = (*MACHINE, *ACCELERATION, "trainer.max_epochs", "trainer.max_time")
"""What may change when training goes on: how long it is to be, and what it runs on."""

NAMING_RUNS = ("run", "simulate.calibrate")
"""Keys whose values are run directories."""


def config_facts(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The values of a resolved config that determine results, by flat key."""
    plain: Any = OmegaConf.to_container(config) if isinstance(config, DictConfig) else config
    facts = without(flat(plain), CANNOT_MATTER)
    if facts.get("task", "") is None:  # as before there was a choice
        del facts["task"]
    if facts.get("groups.correlated") == 0:  # likewise
        del facts["groups.correlated"]
    return facts


def content_facts(config: DictConfig) -> dict[str, str]:
    """Hashes of what a config's values name: files, runs, and the source of classes from outside the package."""
    plain: Any = OmegaConf.to_container(config)
    facts: dict[str, str] = {}
    for key, value in flat(plain).items():
        if not isinstance(value, str) or not value or without({key: value}, [*CANNOT_MATTER, *NAMING_RUNS]) == {}:
            if isinstance(value, str) and value and without({key: value}, NAMING_RUNS) == {}:
                facts[f"{key} (content)"] = digest_of_files(_of_run(Path(value)))
        elif key.endswith("_target_"):
            if source := list(sources_of(value)):
                facts[f"{key} (source)"] = digest_of_files(source)
        elif _is_file(value):
            facts[f"{key} (content)"] = digest_of_files([Path(value)])
    return facts


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or not one at all
        return False


def _of_run(folder: Path) -> list[Path]:
    """What others take from a run: weights, and what was recorded of tasks."""
    files = [path for path in folder.glob(f"{names.CHECKPOINTS}/*{names.CHECKPOINT}") if path.stem != names.LAST]
    return files + list(folder.glob(names.TASKS("*")))


def base_facts(
    facts: Facts, section: str, architecture: DictConfig, data: str, machine: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that determines the trained base model, or the backup: all but what cannot matter to it.

    Args:
        facts: of the whole config.
        section: ``base``, ``backup`` or ``multiplexed_backup``.
        architecture: its own, or that of all.
        data: hash of the samples.
        machine: how many ``processes`` train, on what ``device``, and with which ``torch``.
    """
    others = {*NOT_OF_BASE, "base", "backup"} - {section}
    found = ("architecture", f"{section}.architecture", f"{section}.checkpoint", f"{section}.share", *MACHINE)
    facts = {key: value for key, value in facts.items() if (key, value) != ("backup.distillation", 0.0)}
    node = OmegaConf.create({"architecture": architecture})
    return without(facts, [*others, *found]) | {
        **config_facts(node),
        **content_facts(node),
        "the data": data,
        "processes": machine["processes"],
        "device": machine["device"],
        "version": f"{CACHE_VERSION}, parity_exp {parity_exp.__version__}, torch {machine['torch']}",
    }


def coded_facts(facts: Facts, data: str, base: "nn.Module") -> dict[str, Any]:
    """Everything that determines the trained code, but how long it is trained and on what machine.

    Args:
        facts: of the whole config.
        data: hash of the samples.
        base: the trained base model.
    """
    ignored = [*of_part("evaluation", "serving"), *LENGTH_AND_MACHINE, "base", "members"]
    return without(facts, ignored) | {"the data": data, "the base model": digest_of_weights(base.state_dict())}
