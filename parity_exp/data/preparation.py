"""Queries as clients of a served model have them, pictures, texts or sound, brought to what samples are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import Tensor

Kind = Literal["image", "text", "sound"]


@dataclass(frozen=True)
class Preparation:
    """How the bytes of one query become an input.

    Attributes:
        kind: what clients send: a picture, PNG or JPEG; a text; or sound, WAV.
        read: the input of some bytes, ``(*query_shape)``, as samples are kept. It raises
            :class:`parity_exp.errors.DataError` for bytes that are none; the message goes on after the query's name.
    """

    kind: Kind
    read: Callable[[bytes], Tensor]

    def then(self, more: Callable[[Tensor], Tensor]) -> "Preparation":
        """The same with a further step, from inputs ``(1, *query_shape)`` to others."""
        return replace(self, read=partial(_further, self.read, more))


def _further(read: Callable[[bytes], Tensor], more: Callable[[Tensor], Tensor], content: bytes) -> Tensor:
    return more(read(content).unsqueeze(0))[0]
