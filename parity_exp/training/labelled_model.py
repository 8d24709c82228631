"""A model that learns labels: the base model, or a small one that stands in for it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from parity_exp.data import BaseDataModule, Splits
from parity_exp.files.identity import Facts, hashed
from parity_exp.training.modules import BaseModule, Optimisation


@dataclass(frozen=True)
class Imitation:
    """How a small model learns from the base model.

    Attributes:
        base: loads the trained base model.
        distillation: share of the loss that compares the predictions of both; the rest is that of the labels.
        start: gives the small model the base model's weights, as far as they fit; None: it starts from its own.
    """

    base: Callable[[], nn.Module]
    distillation: float
    start: Callable[[nn.Module, nn.Module], None] | None = None


@dataclass(frozen=True)
class LabelledModel:
    """How a model that learns labels comes about.

    Attributes:
        name: ``base``, ``backup`` or ``multiplexed_backup``; its checkpoint is called so.
        new_network: makes the network with its first weights, the same every time.
        optimisation: how its parameters are moved.
        epochs: epochs that it is trained.
        batch_size: samples in a training batch.
        seed: seed of their order, of augmentation, and of what the network draws.
        given: puts weights that somebody else has trained into the network; None: it is trained here.
        facts: everything that determines the trained weights; None: nobody knows, and nothing is compared.
        imitation: how it learns from the base model; None: it learns labels alone.
    """

    name: str
    new_network: Callable[[], nn.Module]
    optimisation: Optimisation
    epochs: int
    batch_size: int
    seed: int
    given: Callable[[nn.Module], None] | None = None
    facts: Callable[[], Facts] | None = None
    imitation: Imitation | None = None

    @property
    def key(self) -> str | None:
        """Hash of everything that determines the trained weights; None where nobody knows that."""
        return None if self.facts is None else hashed(self.facts())

    def phase(self, splits: Splits) -> tuple[BaseModule, BaseDataModule]:
        """What trains it."""
        network, imitation = self.new_network(), self.imitation
        base = None if imitation is None else imitation.base()
        if imitation is not None and imitation.start is not None and base is not None:
            imitation.start(network, base)
        share = 0.0 if imitation is None else imitation.distillation
        module = BaseModule(network, splits.task, self.optimisation, self.seed, base, share)
        return module, BaseDataModule(splits, self.batch_size, self.seed)
