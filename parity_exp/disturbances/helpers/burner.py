"""A process that keeps a processor or a GPU busy."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le

from parity_exp.checks import check_fields
from parity_exp.disturbances.helpers.helper import Helper, Work

if TYPE_CHECKING:
    import torch  # otherwise where it is used: reports read what disturbed a run, and do not wait for it

CPU_SIZE = 256
GPU_SIZE = 4096


@dataclass(frozen=True)
class Burner(Helper):
    """Multiplies matrices without a pause, on one thread of the processor or on the GPU.

    Attributes:
        size: rows and columns of the matrices; None: 256 on the processor, which fills its second-level cache, and
            4096 on a GPU, which fills the whole device.
    """

    size: Annotated[int, Ge(1), Le(2**15)] | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    def prepare(self, device: str, seed: int) -> Work:
        import torch

        size = self.size or (CPU_SIZE if device == "cpu" else GPU_SIZE)
        return _Multiplication(torch.eye(size, device=device))


class _Multiplication(Work):
    def __init__(self, matrix: "torch.Tensor") -> None:
        import torch

        self.matrix = matrix
        self.product = torch.empty_like(matrix)

    def piece(self, now_s: float) -> float:
        import torch

        torch.mm(self.matrix, self.matrix, out=self.product)
        if self.matrix.is_cuda:
            # Without it, hours of work pile up in the stream's queue, and nothing stops them.
            torch.cuda.synchronize(self.matrix.device)
        return now_s
