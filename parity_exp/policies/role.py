"""Kinds of instances, and the names of the models that they hold."""

from dataclasses import dataclass

BASE, BACKUP, MULTIPLEXED = "base", "backup", "multiplexed_backup"
"""Names of models: the base model, the small one of an approximate backup, and one that runs k queries in a task."""


def parity_model(row: int) -> str:
    """Name of the parity model of a row of the generator matrix."""
    return f"parity-{row}"


def member_model(number: int) -> str:
    """Name of one of the k different base models that a code over models is for."""
    return f"base-{number}"


@dataclass(frozen=True)
class Role:
    """A kind of instance.

    Attributes:
        name: what work asks for.
        instances: how many.
        models: names of the models that each of them holds.
        reserve: as in the last release, for policies written for it; others ask the queues of a role for it
            (:meth:`~parity_exp.policies.queues.Queues.leave_free`).
    """

    name: str
    instances: int
    models: tuple[str, ...]
    reserve: int = 0
