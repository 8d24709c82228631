"""A model that learns labels: the base model, or the small one of an approximate backup."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from parity_exp.data import BaseDataModule, Splits
from parity_exp.files.identity import Facts, hashed
from parity_exp.training.modules import BaseModule, Optimisation


@dataclass(frozen=True)
class LabelledModel:
    """How a model that learns labels comes about.

    Attributes:
        name: ``base`` or ``backup``; its checkpoint is called so.
        new_network: makes the network with its first weights, the same every time.
        optimisation: how its parameters are moved.
        epochs: epochs that it is trained.
        batch_size: samples in a training batch.
        seed: seed of their order, of augmentation, and of what the network draws.
        given: puts weights that somebody else has trained into the network; None: it is trained here.
        facts: everything that determines the trained weights; None: nobody knows, and nothing is compared.
    """

    name: str
    new_network: Callable[[], nn.Module]
    optimisation: Optimisation
    epochs: int
    batch_size: int
    seed: int
    given: Callable[[nn.Module], None] | None = None
    facts: Callable[[], Facts] | None = None

    @property
    def key(self) -> str | None:
        """Hash of everything that determines the trained weights; None where nobody knows that."""
        return None if self.facts is None else hashed(self.facts())

    def phase(self, splits: Splits) -> tuple[BaseModule, BaseDataModule]:
        """What trains it."""
        module = BaseModule(self.new_network(), splits.task, self.optimisation, self.seed)
        return module, BaseDataModule(splits, self.batch_size, self.seed)
