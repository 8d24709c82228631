"""A second inference service with queries of its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Le

from parity_exp.checks import check_fields
from parity_exp.disturbances.helpers.helper import Helper, Work
from parity_exp.ranges import Few, Rate

if TYPE_CHECKING:
    import torch  # otherwise where it is used: reports read what disturbed a run, and do not wait for it
    from torch import nn


@dataclass(frozen=True)
class TenantService(Helper):
    """A perceptron that answers a Poisson stream of batches, one after the other.

    Attributes:
        rate_qps: mean number of batches a second, at each instance that has this tenant.
        width: units of each of its layers.
        layers: how many.
        batch: queries in a batch.
    """

    rate_qps: Rate = 20.0
    width: Annotated[int, Ge(1), Le(2**14)] = 1024
    layers: Few = 4
    batch: Annotated[int, Ge(1), Le(10**4)] = 16

    def __post_init__(self) -> None:
        check_fields(self)

    def prepare(self, device: str, seed: int) -> Work:
        import torch
        from torch import nn

        layers = [nn.Sequential(nn.Linear(self.width, self.width), nn.ReLU()) for _ in range(self.layers)]
        network = nn.Sequential(*layers).to(device).eval()
        service = _Service(network, torch.zeros(self.batch, self.width), self.rate_qps, np.random.default_rng(seed))
        service.answer()  # the first one loads kernels
        return service


class _Service(Work):
    def __init__(
        self, network: "nn.Module", queries: "torch.Tensor", rate_qps: float, random: np.random.Generator
    ) -> None:
        self.network = network
        self.queries = queries
        self.device = next(network.parameters()).device
        self.rate_qps = rate_qps
        self.random = random
        self.next_s = 0.0

    def begin(self, now_s: float) -> None:
        self.next_s = now_s + self.random.exponential(1 / self.rate_qps)

    def piece(self, now_s: float) -> float:
        if now_s >= self.next_s:
            self.answer()
            # From the arrival, not from now: a service that falls behind has a queue, as any other has.
            self.next_s += self.random.exponential(1 / self.rate_qps)
        return self.next_s

    def answer(self) -> None:
        import torch

        with torch.inference_mode():
            self.network(self.queries.to(self.device)).cpu()
