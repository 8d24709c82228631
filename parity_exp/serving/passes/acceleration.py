"""How instances run their models: what a user can choose of precision and speed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch

AUTO: Final = "auto"

PRECISIONS: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""Number formats that networks can work in."""


@dataclass(frozen=True)
class Acceleration:
    """How an instance runs its models. Outputs are float32 in any case.

    Attributes:
        cuda_graphs: on a GPU, passes are captured as CUDA graphs when an instance starts, one for each size of a batch,
            and replayed with one launch. ``auto``: where a model allows it; True: or the instance does not start.
        precision: format that convolutions and matrix products work in, a key of :data:`PRECISIONS`.
        compile: networks go through ``torch.compile`` first, which takes a minute or so at the first start.
        tf32: on a GPU, float32 products may use 10 bits of the mantissa, as tensor cores do.
        cudnn_benchmark: cuDNN tries out its algorithms at the start, and keeps the quickest. Instances that start
            together disturb each other's trials, and may choose differently.
        channels_last: layout of images that tensor cores read. ``auto``: on a GPU, for networks with convolutions,
            where tensor cores do the work.

    Raises:
        ValueError: a value that cannot be, with the attribute's name.
    """

    cuda_graphs: bool | str = AUTO
    precision: str = "float32"
    compile: bool = False
    tf32: bool = True
    cudnn_benchmark: bool = False
    channels_last: bool | str = AUTO

    def __post_init__(self) -> None:
        for name in ("cuda_graphs", "channels_last"):
            value = getattr(self, name)
            if not isinstance(value, bool) and value != AUTO:
                raise ValueError(f"{name}={value}: expected {AUTO}, true or false")
        for name in ("compile", "tf32", "cudnn_benchmark"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)}: expected true or false")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision}: expected one of {', '.join(PRECISIONS)}")

    @property
    def dtype(self) -> torch.dtype:
        """The format that networks work in."""
        return PRECISIONS[self.precision]

    def sets_images_apart(self, network: torch.nn.Module, device: torch.device) -> bool:
        """Whether a network on a device shall have its images in channels-last layout."""
        if self.channels_last != AUTO:
            return self.channels_last is True
        tensor_cores = device.type == "cuda" and (self.tf32 or self.dtype is not torch.float32)
        return tensor_cores and any(isinstance(module, torch.nn.Conv2d) for module in network.modules())
