"""Errors after which a GPU is of no more use to a process."""

import torch

from parity_exp.recordings.error_text import one_line

SIGNS = (
    "CUDA error",
    "CUDA driver error",
    "CUDA unknown error",
    "HIP error",
    "Xid",
    "NVML",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_NOT_INITIALIZED",
)
"""What the text of such an error has in it. Errors of a model's own, such as wrong shapes, have none of these."""

OUT_OF_MEMORY = ("CUDA out of memory", "HIP out of memory", "CUDA error: out of memory")


USED_TOO_EARLY = "Cannot re-initialize CUDA in forked subprocess"
"""What torch says in a process whose parent has used a GPU already."""


def loss(error: BaseException, device: str) -> str | None:
    """Why a device is of no use after an error, in one line; None where the error is not one of that kind.

    Args:
        error: what a pass has raised.
        device: where, for the text.
    """
    try:
        text = str(error).strip()
    except Exception:  # a model's own exception, whose text cannot be had
        return None
    said = text.partition("\n")[0]
    if USED_TOO_EARLY in said:
        return (
            f"{device} cannot be used: a module of the model uses a GPU as soon as it is imported; let it do so when "
            "the model is made"
        )
    if isinstance(error, torch.OutOfMemoryError) or any(sign in text for sign in OUT_OF_MEMORY):
        return one_line(f"{device} is out of memory: {said}")
    if isinstance(error, torch.AcceleratorError) or any(sign in text for sign in SIGNS):
        return one_line(f"{device} is lost: {said}")
    return None
