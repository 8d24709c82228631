"""A job's folder is its own: what another job has left there is not gone on with, and not written over.

The folder is compared twice: by Hydra's callback before anything at all is written, as far as configs tell, and by
the job itself once it has seen data and files.
"""

import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from parity_exp.errors import Refused, UserError
from parity_exp.experiment.result_facts import config_facts, content_facts
from parity_exp.files.identity import Identity, flat, listed, without
from parity_exp.recordings.names import CONFIG, PRODUCTS
from parity_exp.recordings.run_directory import RunDirectory

log = logging.getLogger(__name__)

MULTIRUN = "multirun.yaml"
"""Hydra's own record of a sweep."""

NOT_OF_A_SWEEP = (
    "launcher",
    "sweeper.n_trials",
    "sweeper.n_jobs",
    "sweeper.max_failure_rate",
    "sweeper.max_batch_size",
)
"""Settings of a sweep that say how its jobs are run, and how many of them, but not which."""


class OwnFolder(Callback):
    """Compares a job's, or a sweep's, folder with what is to be written to it, before anything is."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        if config.get("resume") is not None:
            return  # the run's own config counts then; the job compares
        folder = Path(config.hydra.run.dir)
        command = str(config.hydra.job.name)
        try:
            facts = config_facts(_resolved(config))
        except (OmegaConfBaseException, ValueError):
            return  # the job says what is wrong with the config
        try:
            refuse_strangers(folder, Identity(command, facts))
        except UserError as error:
            # Hydra turns other exceptions of callbacks into warnings.
            raise Refused(str(error)) from None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        record = folder / MULTIRUN
        try:
            if record.is_file():
                earlier = _sweep_identity(_loaded(record))
                if differing := earlier.differences(_sweep_identity(config)):
                    raise UserError(
                        f"hydra.sweep.dir={folder}: holds another sweep, and what differs is {listed(differing)}; give "
                        "another hydra.sweep.dir"
                    )
            elif any(folder.glob(f"*/{CONFIG}")):
                raise UserError(
                    f"hydra.sweep.dir={folder}: holds runs, but no {MULTIRUN} that says of which sweep; give another "
                    "hydra.sweep.dir"
                )
        except UserError as error:
            raise Refused(str(error)) from None


def claim(
    command: str,
    composed: DictConfig,
    run: RunDirectory,
    content: dict[str, str],
    may_change: tuple[str, ...] | None = None,
) -> None:
    """Make a folder the job's own, after comparing it with what another job may have left there.

    Metrics of an earlier job are removed, for they say that this one is done.

    Args:
        command: the job's.
        composed: its resolved config, as it was composed.
        run: its folder.
        content: hashes of data, beside those of what the config names.
        may_change: for a job that goes on with a run, the parts that may differ from it.

    Raises:
        UserError: the folder is another job's; the message says what differs.
    """
    overrides = tuple(str(override) for override in HydraConfig.get().overrides.task)
    identity = Identity(command, config_facts(composed), content_facts(composed) | content, overrides)
    if may_change is None:
        refuse_strangers(run.path, identity)
        if run.config.is_file():
            log.info("%s holds this very job; going on with it", run.path)
    else:
        identity = going_on(run, identity, may_change)
    run.path.mkdir(parents=True, exist_ok=True)
    identity.write(run.path)
    run.metrics.unlink(missing_ok=True)


def refuse_strangers(folder: Path, now: Identity, name: str = "hydra.run.dir") -> None:
    """Refuse a folder that another job has written to.

    Args:
        folder: which.
        now: what is to be written to it.
        name: what has named it, for messages.

    Raises:
        UserError: with what differs, and what to do.
    """
    run, earlier = RunDirectory(folder), Identity.read(folder)
    key, remedy = f"{name}={folder}", f"give another {name}"
    if earlier is None:
        if run.config.is_file():
            raise UserError(
                f"{key}: holds a run that does not say what it was made from; {remedy}, or go on with it by resume="
            )
        if found := [name for name in PRODUCTS if any(folder.glob(name))]:
            raise UserError(f"{key}: holds {found[0]} of a run, but not its config; {remedy}")
        return
    if differing := earlier.differences(now):
        go_on = "" if earlier.command not in ("train", "run") else f", or go on with that run by resume={folder}"
        raise UserError(f"{key}: holds another run, and what differs is {listed(differing)}; {remedy}{go_on}")


def going_on(run: RunDirectory, now: Identity, may_change: tuple[str, ...]) -> Identity:
    """The identity of a run that is gone on with: its own, but for what may change.

    Raises:
        UserError: its data or files are others by now, or no training has made it; with what differs.
    """
    earlier = Identity.read(run.path)
    command = earlier.command if earlier is not None else run.first_command()
    if command not in (None, "train", "run"):
        raise UserError(
            f"resume={run.path}: `{command}` has written it, and only what `train` began can be gone on with"
        )
    if earlier is None:
        return Identity("train", now.config, now.content, now.overrides)  # of before runs said what they were made from
    # What the run has a copy of may be another by now.
    copied = {"base.checkpoint (content)"} if run.base_is_final else set()
    content = {key: value for key, value in now.content.items() if key not in copied}
    if differing := earlier.differences(Identity(earlier.command, earlier.config, content)):
        raise UserError(
            f"resume={run.path}: the run began with something else, and what differs is {listed(differing)}; bring "
            "that back, or start a new run"
        )
    kept = without(earlier.config, may_change)
    changed = {key: value for key, value in now.config.items() if without({key: value}, may_change) == {}}
    return Identity(earlier.command, kept | changed, dict(earlier.content) | content, earlier.overrides)


def _sweep_identity(config: DictConfig) -> Identity:
    """What a sweep goes through: its config, its sweeper, and its overrides in any order."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    hydra = plain.pop("hydra")
    asked = sorted(str(override) for override in hydra["overrides"]["task"])
    kept = [
        override for override in asked if without({override.lstrip("+~").partition("=")[0]: 0}, ("outputs", "tracker"))
    ]
    sweeper = without(flat({"sweeper": hydra["sweeper"]}), NOT_OF_A_SWEEP)
    return Identity(hydra["job"]["name"], config_facts(plain) | sweeper | {"overrides": kept})


def _loaded(record: Path) -> DictConfig:
    try:
        config = OmegaConf.load(record)
        if isinstance(config, DictConfig) and {"hydra"} <= set(config):
            return config
    except Exception:
        pass
    raise UserError(f"hydra.sweep.dir={record.parent}: {MULTIRUN} is damaged; give another hydra.sweep.dir")


def _resolved(config: DictConfig) -> dict[str, Any]:
    """The job's part of a config with its values, as the job sees it."""
    plain: Any = OmegaConf.to_container(
        OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]),
        resolve=True,
        throw_on_missing=True,
    )
    return dict(plain)
