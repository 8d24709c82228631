"""Which errors mean that a GPU is lost to a process, and how that is said."""

import pytest
import torch

from parity_exp.serving.passes.losses import loss


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee"), "is out of memory: CUDA"),
        (RuntimeError("CUDA error: out of memory\nCompile with"), "cuda:1 is out of memory"),
        (RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors"), "cuda:1 is lost"),
        (RuntimeError("CUDA error: unspecified launch failure"), "unspecified launch failure"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "ECC"),
        (RuntimeError("CUDA driver error: device has fallen off the bus (Xid 79)"), "Xid 79"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "EXECUTION_FAILED"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), "cublasCreate"),
        (RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use"), "as soon as it is imported"),
    ],
)  # fmt: skip
def test_an_error_of_a_lost_gpu_is_told_in_one_line(error: Exception, words: str) -> None:
    reason = loss(error, "cuda:1")
    assert reason is not None and words in reason and "\n" not in reason


@pytest.mark.parametrize(
    "error",
    [
        ValueError("this query is not to be answered"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x4 and 5x2)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        MemoryError(),
        KeyError("cuda"),
    ],
)
def test_errors_of_a_model_are_not_the_loss_of_a_gpu(error: Exception) -> None:
    assert loss(error, "cuda:1") is None
