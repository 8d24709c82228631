"""What is trained for a code: its parity models, its encoder and its decoder, or those of them that are trainable."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from parity_exp.coding import Code
from parity_exp.data import GroupDataModule, Splits
from parity_exp.files.identity import Facts
from parity_exp.models import Initialisation, predict
from parity_exp.training.modules import CodedModule, Optimisation
from parity_exp.training.objectives import Objective
from parity_exp.training.seeded import PARITY_WEIGHTS, seeded

ENCODER, DECODER, PARITY = "encoder", "decoder", "parity"
"""The parts of a coded model that can be trained."""


def usual_batch_groups(k: int) -> int:
    """Groups in a training batch by ParM's rule."""
    return 64 if k == 2 else 32


def predictions(base: nn.Module, inputs: Tensor, splits: Splits, device: torch.device) -> Tensor:
    """The base model's predictions ``(N, *out)`` for inputs as the data set has them, on the CPU."""
    return predict(base, inputs, device, prepare=splits.normalise).cpu()


@dataclass(frozen=True)
class CodedModel:
    """How a code and its parity models come about.

    Attributes:
        code: encoder and decoder.
        new_networks: makes r networks with random weights, the same every time; None: copies of the base model run the
            parity queries, and are not trained.
        initialisation: sets how the new networks start.
        trained: which of :data:`ENCODER`, :data:`DECODER` and :data:`PARITY` are trained.
        objective: what to minimise.
        optimisation: how parameters are moved.
        batch_groups: groups in a training batch.
        epochs: epochs that it is trained.
        seed: seed of the groups, of augmentation, and of first weights.
        facts: everything that determines the trained weights on a base model, how long they are trained aside; None:
            nobody knows, and nothing is compared.
    """

    code: Code
    new_networks: Callable[[], list[nn.Module]] | None
    initialisation: Initialisation
    trained: frozenset[str]
    objective: Objective
    optimisation: Optimisation
    batch_groups: int
    epochs: int
    seed: int
    facts: Callable[[nn.Module], Facts] | None = None

    def first_networks(self, base: nn.Module, splits: Splits) -> list[nn.Module]:
        """The parity networks as training finds them."""
        if self.new_networks is None:
            return [copy.deepcopy(base) for _ in range(self.code.r)]
        networks = self.new_networks()
        centre = splits.task.centre(splits.train.labels).expand(1, self.code.k, -1)
        with seeded(self.seed, PARITY_WEIGHTS):
            for row, (network, middle) in enumerate(zip(networks, self.code.targets(centre)[0], strict=True)):
                self.initialisation(network, base, self.code.encoder, row, middle)
        return networks

    def module(self, base: nn.Module, splits: Splits) -> CodedModule:
        """What is trained, given the trained base model.

        Raises:
            ValueError: the base model lacks what the encoder takes from it.
        """
        self.code.encoder.see(base)
        networks = self.first_networks(base, splits)
        parts: dict[str, list[nn.Module]] = {
            ENCODER: [self.code.encoder],
            DECODER: [self.code.decoder],
            PARITY: networks,
        }
        frozen = [part for name, modules in parts.items() if name not in self.trained for part in modules]
        return CodedModule(self.code, networks, splits.task, self.objective, self.optimisation, self.seed, frozen)

    def phase(self, base: nn.Module, splits: Splits, device: torch.device) -> tuple[CodedModule, GroupDataModule]:
        """What trains it, given the trained base model, and the data with that model's predictions.

        Args:
            base: the trained base model.
            splits: the data set.
            device: where the base model predicts.
        """
        train_predictions = predictions(base, splits.train.inputs, splits, device)
        validation_predictions = predictions(base, splits.validation.inputs, splits, device)
        self.code.decoder.calibrate(train_predictions)
        judged = replace(
            splits,
            train=splits.judged("train", train_predictions),
            validation=splits.judged("validation", validation_predictions),
        )
        data = GroupDataModule(
            judged,
            self.code.k,
            self.code.encoder.prepare,
            train_predictions,
            validation_predictions,
            self.batch_groups,
            self.seed,
        )
        return self.module(base, splits), data
