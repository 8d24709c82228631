"""Studies on disk: the trials of a sweep, which a sweep that was killed goes on with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.utils import instantiate
from omegaconf import OmegaConf

from parity_exp.errors import ConfigError
from parity_exp.files.identity import differences, flat, listed

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage

JOURNAL = "study.journal"
"""File in the sweep's folder that holds its study, unless ``hydra.sweeper.storage`` says otherwise."""

Direction = Literal["minimize", "maximize"]

NAME = "sweep"
MADE_FROM = "made_from"


def open_storage(storage: str | None, sweep_dir: Path) -> "BaseStorage":
    """Where studies are kept: the sweep's own journal, another file, or a database by its URL.

    Raises:
        ConfigError: it cannot be opened.
    """
    from optuna.storages import JournalStorage, get_storage
    from optuna.storages.journal import JournalFileBackend

    try:
        if storage is not None and "://" in storage:
            return get_storage(storage)
        return JournalStorage(JournalFileBackend(str(sweep_dir / JOURNAL if storage is None else Path(storage))))
    except Exception as error:
        # Whatever a database's driver raises is about the place that the user has named.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"hydra.sweeper.storage={storage}: cannot be opened ({reason}); give the path of a file, a URL such as "
            "sqlite:///study.db, or leave it out"
        ) from None


def make(node: Any, key: str, **arguments: Any) -> Any:
    """A sampler or a pruner from its config node.

    Raises:
        ConfigError: no such class, or the class refuses its arguments.
    """
    try:
        made = instantiate(node)
        return made(**arguments) if OmegaConf.select(node, "_partial_") else made
    except Exception as error:
        cause = error.__cause__ or error
        reason = str(cause).strip().splitlines()[0]
        raise ConfigError(f"hydra.sweeper.{key} ({node.get('_target_')}): {reason}") from None


def trials_in(storage: "BaseStorage", name: str) -> int:
    """How many trials a study has; 0 where there is none of that name."""
    import optuna

    if name not in optuna.get_all_study_names(storage):
        return 0
    return len(optuna.load_study(study_name=name, storage=storage).trials)


def open_study(
    storage: "BaseStorage", name: str, directions: "Sequence[Direction]", made_from: Mapping[str, Any], **parts: Any
) -> "Study":
    """A study to go on with, or a new one.

    Args:
        storage: where it is kept.
        name: the study's.
        directions: ``minimize`` or ``maximize``, for each objective.
        made_from: what it searches through and for; one that did so through something else is refused.
        parts: sampler and pruner.

    Raises:
        ConfigError: the study there is another, with what differs.
    """
    import optuna

    there = name in optuna.get_all_study_names(storage)
    if not there:
        study = optuna.create_study(storage=storage, study_name=name, directions=list(directions), **parts)
        study.set_user_attr(MADE_FROM, json.dumps(made_from))
        return study
    study = optuna.load_study(study_name=name, storage=storage, **parts)
    earlier = json.loads(study.user_attrs.get(MADE_FROM, "{}"))
    if differing := differences(flat(earlier), flat(json.loads(json.dumps(made_from)))):
        raise ConfigError(
            f"hydra.sweeper.study_name={name}: the study there is another, and what differs is {listed(differing)}; "
            "give another study_name, or another hydra.sweep.dir where the study is in the sweep's folder"
        )
    return study


def make_pruner(node: Any) -> "BasePruner":
    """The pruner of a config node; one that prunes nothing where there is none."""
    from optuna.pruners import BasePruner, NopPruner

    if node is None:
        return NopPruner()
    pruner = make(node, "pruner")
    if not isinstance(pruner, BasePruner):
        raise ConfigError(f"hydra.sweeper.pruner ({node.get('_target_')}): expected a pruner of Optuna's as _target_")
    return pruner
