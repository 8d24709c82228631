"""How many samples to take at once, so that large ones do not fill the memory."""

import math
from collections.abc import Sequence

VALUES_AT_ONCE = 1 << 24
"""Values of inputs in one batch where nothing is learned: 64 MiB as float32; a network's own layers take 5 to 10
times as much."""


def samples_at_once(shape: Sequence[int], most: int) -> int:
    """A batch size for inputs of a shape ``(C, H, W)``: ``most``, and fewer of inputs as large as 3x224x224."""
    return max(1, min(most, VALUES_AT_ONCE // max(1, math.prod(shape))))
