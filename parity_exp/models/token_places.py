"""Parity models that read k texts at the base model's cost: tokens are merged, and every place is read by itself."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from parity_exp.coding.token_grid import TokenGrid
from parity_exp.models.places import PlacesApart


class TokenMerging(nn.Module):
    """Merges each ``size`` neighbouring tokens into one, by weights of every channel that are learned.

    They start as the mean of the tokens that are there. Padding weighs nothing, and what is all padding stays so. This
    costs a multiplication for every number that goes in, next to nothing beside a layer.

    Args:
        size: tokens that become one.
        width: numbers in a token.

    Shapes: ``(N, n * size, width) -> (N, n, width)``.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(size, width))

    def forward(self, tokens: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Merge.

        Args:
            tokens: ``(N, n * size, width)``.
            known: ``(N, n * size)``, false where there is padding.

        Returns:
            The merged tokens ``(N, n, width)``, and which of them are no padding, ``(N, n)``.
        """
        size = len(self.weights)
        there = known.unflatten(1, (-1, size))
        weights = self.weights * there.unsqueeze(-1).to(tokens.dtype)
        counts = there.sum(-1, keepdim=True).clamp(min=1)
        return (weights * tokens.unflatten(1, (-1, size))).sum(2) / counts, there.any(-1)


class TokensApart(PlacesApart):
    """Reads every place of a parity query of token ids by itself, ``(B, k * L) -> (B, k * outputs)``.

    The base model's own embedding makes tokens of all ids. The first token of a text stays as it is, since many
    encoders read their answer there; of the others each k neighbours are merged, so that all places together have as
    many tokens as one query. A place has an embedding that is added to its tokens, and its own CLS token; attention
    stays within the place, which comes to the same as reading places as though they were a batch; one head reads all.

    Args:
        network: made for queries of L tokens; it has ``width``, ``embed``, ``placed`` and ``read`` as
            :class:`parity_exp.models.TextTransformer` has.
        grid: where places are.

    Raises:
        ValueError: the network has no such methods.
    """

    def __init__(self, network: nn.Module, grid: TokenGrid) -> None:
        super().__init__(network, grid)
        width = width_of(network)
        self.merging = TokenMerging(grid.k, width)
        self.places = nn.Parameter(torch.zeros(grid.k, 1, width))

    def start_from(self, base: nn.Module, image_shape: Sequence[int]) -> None:
        """Take the base model's weights, which fit; what merges tokens stays as it is."""
        start_from(self.network, base)

    def forward(self, parities: Tensor) -> Tensor:
        tokens, known = merged_places(self.network, self.merging, self.grid, parities)
        tokens = (tokens + self.places).flatten(0, 1)
        outputs: Tensor = self.network.read(tokens, known.flatten(0, 1))  # type: ignore[operator]
        return outputs.reshape(len(parities), -1)


class TokensTogether(nn.Module):
    """Reads a parity query of token ids as one text, merged to the length of a query: ``(B, k * L) -> (B, outputs)``.

    That is concatenation as in Parity Models: one CLS token, which sees all places, and outputs for their sum.

    Args:
        network: as for :class:`TokensApart`, but with outputs for one prediction.
        grid: where places are.

    Raises:
        ValueError: the network has no such methods.
    """

    def __init__(self, network: nn.Module, grid: TokenGrid) -> None:
        super().__init__()
        width = width_of(network)
        self.network = network
        self.grid = grid
        self.merging = TokenMerging(grid.k, width)
        self.places = nn.Parameter(0.02 * torch.randn(grid.k, 1, width))

    def start_from(self, base: nn.Module, query_shape: Sequence[int]) -> None:
        """Take the base model's weights, which fit; those of extra outputs stay as they are."""
        start_from(self.network, base)

    def forward(self, parities: Tensor) -> Tensor:
        tokens, known = merged_places(self.network, self.merging, self.grid, parities)
        tokens = (tokens + self.places).flatten(1, 2)
        outputs: Tensor = self.network.read(tokens, known.flatten(1))  # type: ignore[operator]
        return outputs


def merged_places(network: Any, merging: TokenMerging, grid: TokenGrid, parities: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens of each place: its first one as it is, and the others merged.

    Of the end of a text up to k - 1 tokens are left out, so that all places together are no longer than one query.

    Returns:
        Tokens ``(B, k, L // k, width)``, and which of them are no padding, ``(B, k, L // k)``.
    """
    ids = grid.cut(parities)
    ids = ids.gather(1, (ids < 0).byte().argsort(dim=1, stable=True))  # padding goes to the end
    ids = ids[:, : 1 + grid.k * (grid.length // grid.k - 1)]
    tokens, known = network.placed(network.embed(ids)), ids >= 0
    merged, there = merging(tokens[:, 1:], known[:, 1:])
    tokens, known = torch.cat([tokens[:, :1], merged], 1), torch.cat([known[:, :1], there], 1)
    return tokens.unflatten(0, (-1, grid.k)), known.unflatten(0, (-1, grid.k))


def width_of(network: nn.Module) -> int:
    """Numbers in a token of a network that reads tokens which are embedded already.

    Raises:
        ValueError: it does not, with what it lacks.
    """
    lacking = [name for name in ("width", "embed", "placed", "read") if not hasattr(network, name)]
    if lacking:
        raise ValueError(
            f"{type(network).__name__} has no {', '.join(lacking)}, and merging its tokens needs that; see "
            "parity_exp.models.TextTransformer"
        )
    return int(network.width)  # type: ignore[arg-type]


def start_from(network: nn.Module, base: nn.Module) -> None:
    """Give a network the weights of another as far as they are in it; those of further outputs stay as they are."""
    mine = network.state_dict()
    with torch.no_grad():
        for name, weight in base.state_dict().items():
            target = mine.get(name)
            if target is not None and target.shape[1:] == weight.shape[1:] and len(target) >= len(weight):
                target[: len(weight)].copy_(weight)
