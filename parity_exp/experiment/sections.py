"""The sections of a config, in one table: what each is a part of, and which commands may change it in a stored run."""

from dataclasses import dataclass
from typing import Literal

Part = Literal["job", "data", "base", "code", "evaluation", "serving"]
Command = Literal["resume", "evaluate", "serve", "simulate", "endpoint", "load"]


@dataclass(frozen=True)
class Section:
    """A section of the config, or a value that stands at its top.

    Attributes:
        name: its key.
        part: what it is a part of. A ``job`` is where and how something is done, and changes no result; ``data`` and
            ``base`` determine base models; ``code`` what is trained on them; ``evaluation`` and ``serving`` nothing
            that is trained.
        changed_by: what may take another one for a stored run: ``train resume=``, ``evaluate``, ``serve``,
            ``simulate``, ``load``, or ``endpoint``, which may also change what ``serve`` may.
        of_training: whether it has no meaning for a code that trains nothing.
    """

    name: str
    part: Part
    changed_by: tuple[Command, ...] = ()
    of_training: bool = False


TABLE = (
    Section("redundancy", "serving", ("serve", "simulate")),
    Section("straggler", "serving", ("serve", "simulate")),
    Section("load", "serving", ("serve", "simulate", "load")),
    Section("pool", "serving", ("serve", "simulate")),
    Section("queue", "serving", ("serve", "simulate")),
    Section("frontends", "serving", ("serve", "simulate")),
    Section("frontend_split", "serving", ("serve", "simulate")),
    Section("backup", "serving", ("serve",)),
    Section("multiplexed_backup", "serving", ("serve",)),
    Section("simulate", "serving", ("simulate",)),
    Section("plan", "serving", ("simulate",)),
    Section("seed", "code", ("serve", "simulate", "load")),
    Section("dataset", "data", ("evaluate", "serve", "load")),
    Section("task", "data"),
    Section("evaluation", "evaluation", ("resume", "evaluate")),
    Section("architecture", "base"),
    Section("base", "base"),
    Section("trainer", "base", ("resume", "evaluate", "serve")),
    Section("acceleration", "base", ("resume", "evaluate", "serve")),
    Section("optimisation", "base", ("resume",)),
    Section("k", "code"),
    Section("groups", "code", ("evaluate", "serve")),
    Section("code", "code"),
    Section("members", "code"),
    Section("position_code", "code"),
    Section("epochs", "code"),  # those of the base model come to base.max_epochs, which counts itself
    Section("encoder", "code", of_training=True),
    Section("decoder", "code", of_training=True),
    Section("generator", "code", of_training=True),
    Section("objective", "code", of_training=True),
    Section("initialisation", "code", of_training=True),
    Section("r", "code", of_training=True),
    Section("batch_groups", "code", of_training=True),
    Section("optimizer", "code", of_training=True),
    Section("scheduler", "code", of_training=True),
    Section("parity", "code", of_training=True),
    Section("trainable", "code", of_training=True),
    Section("tracker", "job", ("resume", "evaluate", "serve", "simulate", "load")),
    Section("outputs", "job", ("evaluate", "serve", "simulate", "load")),
    Section("port", "job", ("endpoint",)),
    Section("grpc_port", "job", ("endpoint",)),
    Section("endpoint", "job", ("endpoint",)),
    Section("url", "job", ("load",)),
    Section("name", "job", ("load",)),
    Section("model", "job", ("load",)),
    Section("model_version", "job", ("load",)),
    Section("client", "job", ("load",)),
    Section("run", "job"),  # of another run it is the content that counts
    Section("runs", "job"),
    Section("resume", "job"),
    Section("sweep", "job"),
    Section("compare", "job"),
    Section("trust", "job"),
    Section("hydra", "job"),
)


def of_part(*parts: Part) -> tuple[str, ...]:
    """Names of the sections that are parts of something."""
    return tuple(section.name for section in TABLE if section.part in parts)


def changed_by(command: Command) -> tuple[str, ...]:
    """Names of the sections that a command may take another of for a stored run."""
    return tuple(section.name for section in TABLE if command in section.changed_by)


SERVED = tuple(name for name in changed_by("serve") if name in of_part("serving"))
"""Sections that say how to serve."""

OF_TRAINING = tuple(section.name for section in TABLE if section.of_training)
"""Sections without a meaning for a code that trains nothing."""
