"""Arrays in memory that a process shares with those that are forked from it."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def shared_zeros(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array of zeros; what a fork writes into it is seen by all, and it is there as long as any of them has it."""
    count = int(np.prod(shape))
    memory = mmap.mmap(-1, max(count * np.dtype(dtype).itemsize, 1))
    return np.frombuffer(memory, dtype, count).reshape(shape)
