"""Position codes: what tells the queries of a sum apart.

A plain sum of queries says nothing about which query was at which place of the group, nor which part of it belongs
together. A position code multiplies the query at each place by a fixed pattern before it is added, as transmitters
that share a channel do (code- and frequency-division multiplexing). A network can then tell them apart, for the cost
of a multiplication beside each addition.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from parity_exp.ranges import Seed


class PositionCode(ABC):
    """Base class of position codes."""

    @abstractmethod
    def factors(self, k: int, query_shape: Sequence[int]) -> Tensor | None:
        """What the query at each place is multiplied by, ``(k, *query_shape)``; None where it is added as it is.

        Raises:
            ValueError: the code cannot tell so many places apart, or is not for queries of this shape.
        """


class NoPositionCode(PositionCode):
    """Queries are added as they are, as ParM does (Parity Models, SOSP 2019, section 3.2)."""

    def factors(self, k: int, query_shape: Sequence[int]) -> Tensor | None:
        return None


class RandomSigns(PositionCode):
    """Every element of a query is multiplied by a sign of its own, drawn at random once for each place.

    The first query keeps its signs. What a network computes from the signs of one place is uncorrelated with what all
    others contribute. For networks that look at an image as a whole, such as multilayer perceptrons; convolutions
    cannot follow signs that differ from place to place of the image.

    Args:
        seed: seed of the signs.
        convolutional: whether the parity models are convolutional networks; queries are then added as they are. None:
            as in ``True``, unless whoever makes it knows the networks and says so.
    """

    def __init__(self, seed: Seed = 0, convolutional: bool | None = False) -> None:
        self.seed = seed
        self.convolutional = convolutional

    def factors(self, k: int, query_shape: Sequence[int]) -> Tensor | None:
        if self.convolutional is None or self.convolutional:
            return None
        random = torch.Generator().manual_seed(self.seed)
        signs = torch.randint(0, 2, (k, *query_shape), generator=random).float() * 2 - 1
        signs[0] = 1
        return signs


class Modulation(PositionCode):
    """Images move to another band of spatial frequencies for each place, where convolutions can tell them apart.

    The image at place i is multiplied by a product of cosines over rows and columns: place 0 by 1, place 1 alternates
    signs along columns, place 2 along rows, place 3 along both. Natural images consist of low frequencies mostly, so
    that bands hardly overlap.

    Raises:
        ValueError: more than four places, or queries that are not ``(C, H, W)`` images.
    """

    MOST = 4

    def factors(self, k: int, query_shape: Sequence[int]) -> Tensor | None:
        if k > self.MOST:
            raise ValueError(f"modulation has {self.MOST} bands, not k={k}; choose random signs or none")
        if len(query_shape) != 3:
            raise ValueError(f"modulation needs image queries (C, H, W), not queries of shape {tuple(query_shape)}")
        height, width = query_shape[1:]
        rows = (1 - 2 * (torch.arange(height) % 2)).float().view(1, height, 1)
        columns = (1 - 2 * (torch.arange(width) % 2)).float().view(1, 1, width)
        one = torch.ones(1, height, width)
        bands = [one, one * columns, one * rows, rows * columns]
        return torch.stack([band.expand(*query_shape) for band in bands[:k]]).contiguous()
