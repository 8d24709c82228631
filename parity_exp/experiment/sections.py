"""The sections of a config, in one table: what each is a part of, and which commands may change it in a stored run."""

from dataclasses import dataclass
from typing import Literal

Part = Literal["job", "data", "base", "code", "evaluation", "serving"]
Command = Literal["resume", "evaluate", "serve", "simulate", "endpoint", "load"]

WITHOUT_NETWORKS = ("simulate", "load")
"""Commands that without a run have no networks, and so look at nothing that only networks need."""

TRAINING = ("train", "run", "compare")
"""Commands that train anew."""


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
        ignored_by: commands that without a stored run neither look at it nor keep it for one that does, ``report`` left
            out, which looks at two sections alone. Beside a stored run ``changed_by`` says all.
    """

    name: str
    part: Part
    changed_by: tuple[Command, ...] = ()
    of_training: bool = False
    ignored_by: tuple[str, ...] = ()


TABLE = (
    Section("redundancy", "serving", ("serve", "simulate"), ignored_by=("load",)),
    Section("straggler", "serving", ("serve", "simulate"), ignored_by=("load",)),
    Section("load", "serving", ("serve", "simulate", "load")),
    Section("pool", "serving", ("serve", "simulate"), ignored_by=("load",)),
    Section("queue", "serving", ("serve", "simulate"), ignored_by=("load",)),
    Section("frontends", "serving", ("serve", "simulate"), ignored_by=("load",)),
    Section("frontend_split", "serving", ("serve", "simulate"), ignored_by=("load",)),
    Section("backup", "serving", ("serve",), ignored_by=WITHOUT_NETWORKS),
    Section("multiplexed_backup", "serving", ("serve",), ignored_by=WITHOUT_NETWORKS),
    Section("simulate", "serving", ("simulate",), ignored_by=("load",)),
    Section("plan", "serving", ("simulate",), ignored_by=("load",)),
    Section("seed", "code", ("serve", "simulate", "load")),
    Section("dataset", "data", ("evaluate", "serve", "load"), ignored_by=("simulate",)),
    Section("task", "data", ignored_by=("simulate",)),
    Section("evaluation", "evaluation", ("resume", "evaluate"), ignored_by=WITHOUT_NETWORKS),
    Section("architecture", "base", ignored_by=("load",)),
    Section("base", "base", ignored_by=WITHOUT_NETWORKS),
    Section("trainer", "base", ("resume", "evaluate", "serve")),
    Section("acceleration", "base", ("resume", "evaluate", "serve")),
    Section("optimisation", "base", ("resume",), ignored_by=WITHOUT_NETWORKS),
    Section("k", "code"),
    Section("groups", "code", ("evaluate", "serve"), ignored_by=WITHOUT_NETWORKS),
    Section("code", "code", ignored_by=("load",)),
    Section("members", "code", ignored_by=WITHOUT_NETWORKS),
    Section("position_code", "code", ignored_by=WITHOUT_NETWORKS),
    Section(
        "epochs", "code", ignored_by=WITHOUT_NETWORKS
    ),  # those of the base model come to base.max_epochs, which counts itself
    Section("encoder", "code", of_training=True, ignored_by=("load",)),
    Section("decoder", "code", of_training=True, ignored_by=("load",)),
    Section("generator", "code", of_training=True, ignored_by=WITHOUT_NETWORKS),
    Section("objective", "code", of_training=True, ignored_by=WITHOUT_NETWORKS),
    Section("initialisation", "code", of_training=True, ignored_by=WITHOUT_NETWORKS),
    Section("r", "code", of_training=True),
    Section("batch_groups", "code", of_training=True, ignored_by=WITHOUT_NETWORKS),
    Section("optimizer", "code", of_training=True, ignored_by=WITHOUT_NETWORKS),
    Section("scheduler", "code", of_training=True, ignored_by=WITHOUT_NETWORKS),
    Section("parity", "code", of_training=True, ignored_by=("load",)),
    Section("trainable", "code", of_training=True, ignored_by=WITHOUT_NETWORKS),
    Section("tracker", "job", ("resume", "evaluate", "serve", "simulate", "load")),
    Section("outputs", "job", ("evaluate", "serve", "simulate", "load")),
    Section("port", "job", ("endpoint",), ignored_by=WITHOUT_NETWORKS),
    Section("grpc_port", "job", ("endpoint",), ignored_by=WITHOUT_NETWORKS),
    Section("endpoint", "job", ("endpoint",), ignored_by=WITHOUT_NETWORKS),
    Section("url", "job", ("load",), ignored_by=(*TRAINING, "simulate")),
    Section("name", "job", ("load",), ignored_by=("simulate",)),
    Section("model", "job", ("load",), ignored_by=("simulate",)),
    Section("model_version", "job", ("load",), ignored_by=("simulate",)),
    Section("client", "job", ("load",), ignored_by=("simulate",)),
    Section("run", "job", ignored_by=TRAINING),  # of another run it is the content that counts
    Section("runs", "job", ignored_by=(*TRAINING, *WITHOUT_NETWORKS)),
    Section("resume", "job", ignored_by=("run", "compare", *WITHOUT_NETWORKS)),
    Section("sweep", "job"),
    Section("compare", "job", ignored_by=("train", "run", *WITHOUT_NETWORKS)),
    Section("trust", "job"),
    Section("hydra", "job"),
)


def of_part(*parts: Part) -> tuple[str, ...]:
    """Names of the sections that are parts of something."""
    return tuple(section.name for section in TABLE if section.part in parts)


def changed_by(command: Command) -> tuple[str, ...]:
    """Names of the sections that a command may take another of for a stored run."""
    return tuple(section.name for section in TABLE if command in section.changed_by)


REPORTED = ("outputs", "runs")
"""All that ``report`` looks at."""

OF_THE_PLACE = ("tracker", "trust", "trainer", "acceleration", "hydra")
"""Sections that say where and how jobs run, not what they do: scripts write them beside every command."""


def ignored_by(command: str) -> tuple[str, ...]:
    """Names of the sections that would change what is done, but nothing of what this command does without a run."""
    return tuple(
        section.name
        for section in TABLE
        if section.name not in OF_THE_PLACE
        and (section.name not in REPORTED if command == "report" else command in section.ignored_by)
    )


SERVED = tuple(name for name in changed_by("serve") if name in of_part("serving"))
"""Sections that say how to serve."""

OF_TRAINING = tuple(section.name for section in TABLE if section.of_training)
"""Sections without a meaning for a code that trains nothing."""
