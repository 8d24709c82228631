"""The decoder that does best with a parity model of a kind."""

from collections.abc import Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import Tensor

from parity_exp.coding.decoder import Decoder
from parity_exp.coding.places import PlacesDecoder
from parity_exp.coding.residual_decoder import ResidualDecoder
from parity_exp.policies.needs import Needs
from parity_exp.ranges import Width


class BestDecoder(Decoder):
    """Keeps places apart where the networks can, and otherwise corrects a linear reconstruction.

    Making one gives a :class:`PlacesDecoder` or a :class:`ResidualDecoder`: with queries side by side, places apart
    lose least (measured: docs/results/recipes.md).

    Args:
        apart: whether the encoder lays queries side by side, and the parity models' architecture can see a part of an
            image; None: no, unless whoever makes it knows them and says so.
        extra_outputs: of a residual decoder.
        hidden: likewise.
    """

    def __new__(  # type: ignore[misc]
        cls,
        k: int,
        r: int,
        output_shape: Sequence[int],
        generator: Tensor | None = None,
        apart: bool | None = None,
        **of_residual: Any,
    ) -> Decoder:
        made = cls._made_by(apart, **of_residual)
        if made is PlacesDecoder:
            return PlacesDecoder(k, r, output_shape, generator)
        return ResidualDecoder(k, r, output_shape, generator, **of_residual)

    def __init__(
        self,
        k: int,
        r: int,
        output_shape: Sequence[int],
        generator: Tensor | None = None,
        apart: bool | None = None,
        extra_outputs: Annotated[int, Ge(0), Le(2**16)] | None = None,
        hidden: Width = 128,
    ) -> None:
        raise NotImplementedError  # what a config may give is read here; making one makes another

    @staticmethod
    def _made_by(apart: bool | None = None, extra_outputs: int | None = None, **_: Any) -> type[Decoder]:
        return PlacesDecoder if apart and extra_outputs is None else ResidualDecoder

    @classmethod
    def needs_of(cls, k: int, r: int, **settings: Any) -> Needs:
        return cls._made_by(**settings).needs_of(k, r)
