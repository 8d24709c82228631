"""What Hydra writes into a job's folder before the job begins, and how it is taken back where a job is refused.

Only files that the job has created are removed, one by one, and only folders that were not there before and are empty
then. What an earlier job has left in the same folder gets its old content back. Everything else is somebody's work.
"""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from parity_exp.errors import ConfigError, Refused, UserError
from parity_exp.experiment.command_line import place_of
from parity_exp.files.writing import write_bytes
from parity_exp.recordings import names
from parity_exp.recordings.run_directory import RunDirectory

RESUMABLE = "train"
"""The command that goes on with a run where ``resume`` names one."""

RECORD = (names.HYDRA_CONFIG, names.HYDRA_RECORD, names.OVERRIDES)
"""What Hydra writes of the config, in a subfolder of its own."""


@dataclass
class FolderBefore:
    """A job's folder as it was before Hydra wrote to it.

    Args:
        folder: the job's folder.
        record: where Hydra puts its record of the config.
        log_file: where Hydra logs to.
    """

    folder: Path
    record: Path
    log_file: Path
    there: frozenset[Path] = field(init=False)
    overwritten: dict[Path, bytes] = field(init=False)
    missing_folders: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.there = frozenset(self.folder.iterdir()) if self.folder.is_dir() else frozenset()
        files = [self.record / name for name in RECORD]
        self.overwritten = {path: path.read_bytes() for path in files if path.is_file()}
        folders = {*(self.record, *self.record.parents), *(self.folder, *self.folder.parents)}
        self.missing_folders = [path for path in folders if not path.exists()]

    def restore(self) -> None:
        """Take back what Hydra has written, unless the job itself has written something beside it."""
        with contextlib.suppress(OSError):  # a refusal is a refusal, whether or not it can be tidied up
            files = [self.record / name for name in RECORD]
            hydras = {*files, self.log_file, self.record, *self.record.parents}
            if self.folder.is_dir() and any(path not in self.there | hydras for path in self.folder.iterdir()):
                return
            for path in files:
                if path in self.overwritten:
                    write_bytes(path, self.overwritten[path])
                else:
                    path.unlink(missing_ok=True)
            if self.log_file not in self.there:
                self.log_file.unlink(missing_ok=True)
        for folder in sorted(self.missing_folders, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):  # it is not there, or holds something
                folder.rmdir()


class HydraRecord(Callback):
    """Refuses places that no job may write to, and keeps in mind how the job's folder was before.

    A sweep's folder is left alone: its jobs are on record also where they are refused.
    """

    before: ClassVar[FolderBefore | None] = None

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Look at the folder that Hydra is about to write to."""
        try:
            if config.hydra.job.name == RESUMABLE and OmegaConf.select(config, "resume") is not None:
                _go_on_in_place(config)
            folder = _folder(config, "hydra.run.dir")
            _refuse_config_of_others(folder)
        except UserError as error:
            raise Refused(str(error)) from None
        record = folder / str(config.hydra.output_subdir)
        HydraRecord.before = FolderBefore(folder, record, folder / f"{config.hydra.job.name}.log")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Look at the folder that all jobs' folders go to."""
        try:
            if config.hydra.job.name == RESUMABLE and OmegaConf.select(config, "resume") is not None:
                raise ConfigError("resume= goes on with one run and cannot be used with a multirun")
            _folder(config, "hydra.sweep.dir")
        except UserError as error:
            raise Refused(str(error)) from None

    @staticmethod
    def restore() -> None:
        """Take back what Hydra has written for the latest job, where that has written nothing itself."""
        if HydraRecord.before is not None:
            HydraRecord.before.restore()
        HydraRecord.before = None


def _go_on_in_place(config: DictConfig) -> None:
    """Have a resumed job go on in its own run directory, and keep Hydra's first record of it.

    Raises:
        UserError: there is no run.
    """
    path = Path(str(config.resume))
    RunDirectory.existing(path, "resume")
    given = {place_of(word): word for word in config.hydra.overrides.hydra}
    if "hydra.run.dir" in given and Path(str(config.hydra.run.dir)).absolute() != path.absolute():
        raise ConfigError(
            f"{given['hydra.run.dir']}: resume= goes on in the folder of its run; leave hydra.run.dir out"
        )
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.run.dir = str(path)
        config.hydra.output_subdir = ".hydra-resume"


def _folder(config: DictConfig, key: str) -> Path:
    """The folder that a job writes to, or all jobs of a sweep.

    Raises:
        ConfigError: it is no folder that anybody could have meant.
    """
    outputs, folder = OmegaConf.select(config, "outputs"), OmegaConf.select(config, key)
    for name, value in (("outputs", outputs), (key, folder)):
        if not isinstance(value, str) or not value.strip():
            shown = "null" if value is None else value
            raise ConfigError(f"{name}={shown}: expected a folder to write to; {name}=. is the current one")
    return Path(folder).absolute()


def _refuse_config_of_others(folder: Path) -> None:
    """Refuse a folder whose config.yaml, which a run would overwrite, is no run's."""
    if (folder / names.CONFIG).is_file() and not any((folder / name).exists() for name in names.MARKS):
        raise ConfigError(
            f"hydra.run.dir={folder}: its config.yaml is no run's and would be overwritten; give another folder"
        )
