"""Wrong answers: what an instance gives out in place of a model's outputs while it is corrupted."""

from collections.abc import Callable

import torch
from torch import Tensor

from parity_exp.disturbances.timeline import GARBAGE, NAN, STUCK, Fault

Spoil = Callable[[Tensor, Tensor, float, torch.Generator], Tensor]


class Corruptor:
    """Spoils an instance's outputs, and remembers what it has given out.

    Args:
        seed: of the noise.
    """

    def __init__(self, seed: int) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self._given: dict[int, Tensor] = {}

    def outputs(self, model: int, true: Tensor, fault: Fault | None = None) -> Tensor:
        """What the instance gives out, of the shape of ``true``, ``(n, *out)``; ``true`` itself without a fault.

        Args:
            model: number of the model.
            true: its outputs.
            fault: how the instance is corrupted.
        """
        given = true
        if fault is not None:
            last = self._given.get(model)
            if last is None:
                last = torch.zeros_like(true[-1])
            given = _SPOILING[fault.kind](true, last, fault.scale, self._random)
        self._given[model] = given[-1].clone()  # a model may give out a view of its task's memory
        return given


def _garbage(true: Tensor, last: Tensor, scale: float, random: torch.Generator) -> Tensor:
    size = true.flatten(1).square().mean(1).sqrt()
    noise = torch.randn(true.shape, generator=random)
    return scale * size.view(-1, *[1] * (true.dim() - 1)) * noise


def _stuck(true: Tensor, last: Tensor, scale: float, random: torch.Generator) -> Tensor:
    return last.expand_as(true).contiguous()


def _nan(true: Tensor, last: Tensor, scale: float, random: torch.Generator) -> Tensor:
    return torch.full_like(true, torch.nan)


_SPOILING: dict[str, Spoil] = {GARBAGE: _garbage, STUCK: _stuck, NAN: _nan}
"""What each kind of fault makes of true outputs, the last output given, the scale, and random numbers."""
