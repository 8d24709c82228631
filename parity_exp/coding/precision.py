"""What low precision costs a code: decoding multiplies rounding errors of outputs, by up to the condition number.

Sums of outputs are computed in single precision at least and lose nothing there. What networks have rounded before,
decoding cannot mend: of bfloat16 outputs, right to 0.4 %, a matrix with a condition number of 500 leaves nothing.
"""

import itertools
import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor

log = logging.getLogger(__name__)

TOLERABLE = 0.1
"""Error of a reconstruction, as a share of the outputs' size, from which a precision is too low for a code."""

MOST_SUBMATRICES = 5_000
"""How many are tried, for there are very many with large k and r."""

SINGULAR = 1e12
"""Condition number of a matrix of single precision that nothing can be solved with."""

FORMATS = {
    "16": torch.float16, "fp16": torch.float16, "float16": torch.float16, "transformer-engine-float16": torch.float16,
    "bf16": torch.bfloat16, "bfloat16": torch.bfloat16, "transformer-engine": torch.bfloat16,
    "64": torch.float64,
}  # fmt: skip
"""How names of precisions begin, or what they are; all others are single precision."""


def at_least_single(outputs: Tensor) -> Tensor:
    """Outputs in single precision where they have less, otherwise as they are."""
    return outputs.float() if is_low(outputs.dtype) else outputs


def is_low(dtype: torch.dtype) -> bool:
    """Whether a format has less than single precision."""
    return dtype.is_floating_point and dtype.itemsize < 4


def growth(generator: Tensor) -> float:
    """How much decoding multiplies errors at worst: the largest condition number of a square submatrix ``(l, l)``.

    Of a matrix ``(r, k)`` with very many of them, a part is tried, always the same.
    """
    r, k = generator.shape
    exact = generator.detach().cpu().double()
    worst = 1.0
    for size in range(1, min(r, k) + 1):
        every = itertools.product(itertools.combinations(range(r), size), itertools.combinations(range(k), size))
        count = math.comb(r, size) * math.comb(k, size)
        places = list(itertools.islice(every, 0, None, -(-count // MOST_SUBMATRICES))) if count < 10**7 else []
        rows, columns = (torch.tensor([pair[side] for pair in places]) for side in (0, 1))
        if len(places):
            worst = max(worst, float(torch.linalg.cond(exact[rows[:, :, None], columns[:, None, :]]).max()))
    return worst


def problem(generator: Tensor, dtype: torch.dtype) -> str | None:
    """Why a precision is too low for a generator matrix ``(r, k)``, and what to do; None where it is not."""
    r, k = generator.shape
    if r == 1:
        return None
    times, share = growth(generator), torch.finfo(dtype).eps
    if times * share <= TOLERABLE:
        return None
    name = str(dtype).removeprefix("torch.")
    return (
        f"with k={k} and r={r} decoding multiplies the rounding errors of {name} ({share:.2g}) by up to {times:,.0f}, "
        f"so that reconstructions from several losses may be worthless; use {'float32, ' if is_low(dtype) else ''}"
        "a smaller k or r, or generator=chebyshev"
    )


def format_named(name: object) -> torch.dtype:
    """The format that a precision's name stands for, such as ``bf16-mixed`` or ``32-true``."""
    words = str(name)
    return FORMATS.get(words) or FORMATS.get(words.partition("-")[0]) or torch.float32


def warn_of(generator: Tensor, dtype: torch.dtype, key: str) -> None:
    """Log a warning where a precision is too low for a generator matrix.

    Args:
        generator: ``(r, k)``.
        dtype: the format of outputs.
        key: who chose it, for the message, with its value.
    """
    what = problem(generator, dtype)
    if what is not None:
        log.warning("%s: %s", key, what)


class Rounding:
    """Brings the outputs that a decoder gets to single precision, and warns once where that is too late.

    Attributes:
        warned: whether that has been said.
    """

    def __init__(self) -> None:
        self.warned = False

    def undone(self, generator: Tensor, outputs: Sequence[Tensor]) -> list[Tensor]:
        """Outputs in single precision at least."""
        low = next((output.dtype for output in outputs if is_low(output.dtype)), None)
        if low is None:
            return list(outputs)
        if not self.warned:
            self.warned = True
            warn_of(generator, low, "outputs to decode")
        return [at_least_single(output) for output in outputs]
