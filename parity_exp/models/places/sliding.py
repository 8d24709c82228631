"""Whether a network is convolutional: whether kernels slide over its images, pixel by pixel."""

from torch import nn


def has_sliding_kernels(network: nn.Module) -> bool:
    """Whether some convolution's kernel overlaps with itself one step further.

    What cuts images into patches is a convolution in name only: its kernel moves on by its whole size.
    """
    return any(
        size > step
        for part in network.modules()
        if isinstance(part, nn.Conv2d)
        for size, step in zip(part.kernel_size, part.stride, strict=True)
    )
