"""How many samples to take at once, so that large ones do not fill the memory."""

import math
from collections.abc import Sequence

import torch

VALUES_AT_ONCE = 1 << 24
"""Values of inputs in one batch where nothing is learned: 64 MiB as float32; a network's own layers take 5 to 10
times as much."""


BYTES_A_VALUE = 2_000
"""What a network takes of a GPU's memory for one value of its input, at most: the widest layer of ResNet-18 on 28x28
pixels has 64 times its input, and several of that size are there at once."""

MOST_ON_GPU = 20_000
"""Samples in one batch on a GPU, however large its memory is: by then it has enough to do."""


def samples_at_once(shape: Sequence[int], most: int, device: torch.device | None = None) -> int:
    """A batch size for inputs of a shape ``(C, H, W)`` where nothing is learned.

    Args:
        shape: of one input.
        most: samples at once on a processor; fewer of inputs as large as 3x224x224.
        device: where the network runs; GPUs take as many as their free memory allows, for small batches leave them
            idle.
    """
    values = max(1, math.prod(shape))
    if device is not None and device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, min(MOST_ON_GPU, free // (BYTES_A_VALUE * values)))
    return max(1, min(most, VALUES_AT_ONCE // values))
