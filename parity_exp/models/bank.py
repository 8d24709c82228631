"""Several networks of one architecture behind one door: a query says in its last slice which of them it is for."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def tagged(queries: Tensor, models: int) -> Tensor:
    """Each query once for each model, ``(N, C, ...) -> (N * models, C + 1, ...)``: those of one query in a row.

    Args:
        queries: as networks see them.
        models: how many there are; what is added says 0, 1, ... ``models - 1``.
    """
    repeated = queries.repeat_interleave(models, dim=0)
    numbers = torch.arange(models, dtype=queries.dtype, device=queries.device).repeat(len(queries))
    slices = numbers.view(-1, 1, *[1] * (queries.dim() - 2)).expand(-1, 1, *queries.shape[2:])
    return torch.cat([repeated, slices], dim=1)


class ModelBank(nn.Module):
    """Gives each query to the model that it is for.

    Args:
        networks: ``(n, C, ...)`` to ``(n, *out)`` each.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, queries: Tensor) -> Tensor:
        """``(n, C + 1, ...) -> (n, *out)``."""
        asked = queries[:, -1].flatten(1)[:, 0] if queries.dim() > 2 else queries[:, -1]
        which = asked.round().long()
        found: Tensor | None = None
        for number, network in enumerate(self.networks):
            rows = (which == number).nonzero()[:, 0]
            if len(rows):
                outputs = network(queries[rows, :-1])
                if found is None:
                    found = outputs.new_zeros(len(queries), *outputs.shape[1:])
                found[rows] = outputs
        if found is None:
            raise ValueError(f"no query is for one of the {len(self.networks)} models")
        return found


class Scaled(nn.Module):
    """A network whose outputs are multiplied.

    Args:
        network: any.
        factor: of its outputs.
    """

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network = network
        self.factor = factor

    def forward(self, queries: Tensor) -> Tensor:
        """``(n, ...) -> (n, *out)``."""
        outputs: Tensor = self.network(queries)
        return outputs * self.factor
