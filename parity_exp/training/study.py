"""A study: a data set, a base model, a code for it, and the machine that they are trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from parity_exp.coding import NonSystematicCode
from parity_exp.data import Splits
from parity_exp.training.code_choice import Chosen
from parity_exp.training.coded_model import CodedModel
from parity_exp.training.labelled_model import LabelledModel
from parity_exp.training.machine import Machine


@dataclass(frozen=True)
class WholeCode:
    """A code over copies of the base model, which trains nothing.

    Attributes:
        make: makes it, with settings by name in place of its own.
        seed: seed of the groups that open settings are chosen on.
        keep: is told what was chosen before the code is made for good; None: nobody is.
    """

    make: Callable[..., NonSystematicCode]
    seed: int = 0
    keep: Callable[[Chosen], None] | None = None


@dataclass(frozen=True)
class Study:
    """What is trained on what.

    Attributes:
        splits: the data set.
        base: the base model.
        coded: the code, with how it is trained, or one that trains nothing.
        machine: what training runs on.
        backups: small models that are trained beside them, and measured.
    """

    splits: Splits
    base: LabelledModel
    coded: CodedModel | WholeCode
    machine: Machine
    backups: Sequence[LabelledModel] = ()
