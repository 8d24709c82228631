"""A study: a data set, a base model, a code for it, and the machine that they are trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from parity_exp.coding import FisherAveraging, NonSystematicCode
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
class AveragedModels:
    """A code over k different models, which are trained; its parity models are not.

    Attributes:
        code: says what is averaged how.
        members: how the k models come about; each starts from the base model's weights.
        shared_out: whether each learns from a k-th of the training split; otherwise from all of it.
        seed: of which samples these are, and of those that the Fisher information is measured on.
        keep: is told the damping that was chosen, with a row for each that was tried; None: nobody is.
    """

    code: FisherAveraging
    members: Sequence[LabelledModel]
    shared_out: bool = True
    seed: int = 0
    keep: Callable[[float, pd.DataFrame], None] | None = None


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
    coded: CodedModel | WholeCode | AveragedModels
    machine: Machine
    backups: Sequence[LabelledModel] = ()
