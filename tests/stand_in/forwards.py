"""Where layers compute: so that a test can tell that a device was used, and not only that nothing failed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

FEW = 9
"""Predictions for less than so many inputs are rehearsals or measure costs, which is done on the CPU."""


class Forwards:
    """Counts passes through linear and convolutional layers by device.

    Attributes:
        training: those that are learned from.
        predicting: those that nothing is learned from.
    """

    def __init__(self) -> None:
        self.training: Counter[str] = Counter()
        self.predicting: Counter[str] = Counter()

    def note(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not isinstance(layer, nn.Linear | nn.Conv2d) or not inputs or not isinstance(inputs[0], Tensor):
            return
        if torch.is_grad_enabled():
            if layer.training:
                self.training[inputs[0].device.type] += 1
        elif len(inputs[0]) >= FEW:
            self.predicting[inputs[0].device.type] += 1

    def only_on(self, device: str) -> bool:
        """Whether all learning, of which there was some, and all predicting was done on a kind of device."""
        return set(self.training) == {device} and set(self.predicting) <= {device}


@contextmanager
def recorded() -> Iterator[Forwards]:
    forwards = Forwards()
    handle = register_module_forward_pre_hook(forwards.note)
    try:
        yield forwards
    finally:
        handle.remove()
