"""Places apart in a transformer: every place has its own patches and its own CLS token."""

import itertools
from collections.abc import Sequence
from typing import Protocol, cast

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from parity_exp.coding.grid import Grid
from parity_exp.models.places.apart import PlacesApart
from parity_exp.models.places.folded import resized

MORE_TOKENS = 1.05
"""Patches of all places together, at most, over those of an image."""


class Tokens(Protocol):
    """What a transformer has to have, so that it can keep places apart.

    Attributes:
        patch: pixels of a patch's side.
        tokens: rows and columns of patches in an image.
        cls: the CLS token, ``(1, 1, width)``.
        positions: what is added to tokens, the CLS token's first, ``(1, 1 + rows * columns, width)``.
    """

    patch: int
    tokens: tuple[int, int]
    cls: nn.Parameter
    positions: nn.Parameter

    def embed(self, images: Tensor) -> Tensor:
        """A token for each patch, without its position, ``(N, C, H, W) -> (N, rows * columns, width)``."""

    def read(self, tokens: Tensor) -> Tensor:
        """Outputs for tokens with their positions, the CLS token first, ``(N, n, width) -> (N, outputs)``."""


class PatchesByPlace(PlacesApart):
    """Runs a transformer on the patches of all places, where tokens of a place attend to that place alone.

    Queries have been shrunk by the encoder, so that what was two or four patches of a query is one token here: all
    places together have the patches of one image. Each place has a CLS token, which the shared head reads, and an
    embedding that is added to its tokens. Attention that is masked to the own place is what it would be if the place
    were a sequence of its own; so places are sequences of their own here, which gives the same and computes nothing
    that a mask would throw away.

    Args:
        network: a transformer as :class:`Tokens` says, or torchvision's, or one of these with torchvision's by name.
        grid: where places are.
        channels: of a parity query.

    Raises:
        ValueError: it is no such transformer.
    """

    def __init__(self, network: nn.Module, grid: Grid, channels: int) -> None:
        super().__init__(network, grid)
        transformer = transformer_in(network)
        if transformer is None:
            raise ValueError(f"{type(network).__name__} is no transformer with a CLS token")
        self.channels = channels
        self.tokens = tokens_of_a_place(transformer.tokens, grid)
        self.patch = transformer.patch
        positions = resized_positions(transformer.positions.detach(), transformer.tokens, self.tokens)
        transformer.positions = nn.Parameter(positions)
        self.places = nn.Parameter(torch.zeros(grid.k, 1, positions.shape[-1]))

    @property
    def seen_shape(self) -> tuple[int, ...]:
        return (self.channels, *(count * self.patch for count in self.tokens))

    def forward(self, parities: Tensor) -> Tensor:
        transformer = transformer_in(self.network)
        assert transformer is not None
        rows, columns = self.tokens
        places = resized(self.grid.cut(parities), (rows * self.patch, columns * self.patch))
        patches = transformer.embed(places)
        tokens = torch.cat([transformer.cls.expand(len(patches), -1, -1), patches], 1) + transformer.positions
        outputs = transformer.read(tokens + self.places.repeat(len(parities), 1, 1))
        return outputs.view(len(parities), -1)

    def _resized(self, base: nn.Module, image_shape: Sequence[int]) -> dict[str, Tensor]:
        theirs, mine = transformer_in(base), transformer_in(self.network)
        if theirs is None or mine is None or theirs.positions.shape[-1] != mine.positions.shape[-1]:
            return {}
        name = next(name for name, weight in self.network.named_parameters() if weight is mine.positions)
        return {name: resized_positions(theirs.positions.detach(), theirs.tokens, self.tokens)}


def tokens_of_a_place(tokens: tuple[int, int], grid: Grid) -> tuple[int, int]:
    """Rows and columns of patches in one place: as many as there are room for in an image's number of patches."""
    ideal = tokens[0] / grid.rows, tokens[1] / grid.columns
    most = MORE_TOKENS * tokens[0] * tokens[1] / grid.k
    choices = itertools.product(*({max(1, int(side)), max(1, -int(-side // 1))} for side in ideal))
    fitting = [(rows, columns) for rows, columns in choices if rows * columns <= most]
    if not fitting:
        return 1, 1
    return max(fitting, key=lambda sides: (sides[0] * sides[1], sides[1]))


def resized_positions(positions: Tensor, before: tuple[int, int], now: tuple[int, int]) -> Tensor:
    """Positions for another number of rows and columns; the CLS token's stays, ``(1, 1 + n, width)``."""
    if before == now:
        return positions.clone()
    first, others = positions[:, :1], positions[:, 1:]
    maps = others.transpose(1, 2).unflatten(2, before)
    maps = F.interpolate(maps, size=now, mode="bilinear", antialias=True)
    return torch.cat([first, maps.flatten(2).transpose(1, 2)], 1)


def transformer_in(network: nn.Module) -> Tokens | None:
    """The transformer that a network is, or is made of."""
    if all(hasattr(network, name) for name in ("patch", "tokens", "cls", "positions", "embed", "read")):
        return cast(Tokens, network)
    if isinstance(network, torchvision.models.VisionTransformer):
        return _Torchvisions(network)
    wrapped = getattr(network, "network", None) if getattr(network, "seen_size", None) is not None else None
    return None if wrapped is None else transformer_in(wrapped)


class _Torchvisions:
    """torchvision's vision transformer, as :class:`Tokens`."""

    def __init__(self, network: torchvision.models.VisionTransformer) -> None:
        self.network = network
        self.patch: int = network.patch_size
        self.tokens = (network.image_size // network.patch_size,) * 2
        self.cls: nn.Parameter = network.class_token

    @property
    def positions(self) -> nn.Parameter:
        return self.network.encoder.pos_embedding

    @positions.setter
    def positions(self, positions: nn.Parameter) -> None:
        self.network.encoder.pos_embedding = positions

    def embed(self, images: Tensor) -> Tensor:
        maps: Tensor = self.network.conv_proj(images)
        return maps.flatten(2).transpose(1, 2)

    def read(self, tokens: Tensor) -> Tensor:
        encoder = self.network.encoder
        outputs: Tensor = self.network.heads(encoder.ln(encoder.layers(encoder.dropout(tokens)))[:, 0])
        return outputs
