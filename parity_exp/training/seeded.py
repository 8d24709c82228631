"""Random numbers inside a block follow from a seed; the program's own go on afterwards as if there had been none."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

BASE_WEIGHTS, PARITY_WEIGHTS, CODE_WEIGHTS = 1, 2, 3
"""Independent streams of random initial weights."""


@contextmanager
def seeded(seed: int, stream: int) -> Iterator[None]:
    """Draw from one stream of a seed inside the block.

    Args:
        seed: the user's.
        stream: which of the streams that belong to it, 0 to 9.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 10 + stream)
        yield
