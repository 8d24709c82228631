"""A model that says where it is, for instances."""

import torch
from torch import Tensor, nn


class Whereabouts(nn.Module):
    """``(n, *shape) -> (n, 2)``: whether weights and queries are on a pretended device, and the number of that."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, queries: Tensor) -> Tensor:
        there = queries.device.type == "pretend" and queries.device == self.weight.device
        said = torch.tensor([float(there), float(queries.device.index or 0)], device=queries.device)
        return said.expand(len(queries), -1) + self.weight
