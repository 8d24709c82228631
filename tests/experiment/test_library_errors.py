"""What libraries say of what a user can mend becomes one line; defects of ours keep their traceback."""

import os
import pickle
import signal
import urllib.error
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from parity_exp.coding import Code
from parity_exp.experiment.library_errors import explained, in_one_line
from parity_exp.models import MLP, LeNet, predict


def raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


class Deadly(Dataset[Tensor]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class OwnNetwork(nn.Module):
    """A user's network that does not fit its queries."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(7, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


class ElseWhere(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images + torch.zeros(1, device="meta")


def frozen() -> object:
    return nn.Linear(2, 2).requires_grad_(False)(torch.zeros(1, 2)).sum().backward()


def in_place() -> object:
    leaf = torch.ones(3, requires_grad=True)
    grown = leaf.exp()
    kept = grown * 2
    grown.add_(1)
    return (kept.sum() + grown.sum()).backward()


IMAGES, CPU = torch.zeros(2, 1, 4, 4), torch.device("cpu")

REAL = [
    (lambda: nn.BatchNorm1d(3)(torch.zeros(1, 3)), ["batch normalisation", "base.batch_size", "batch_groups"]),
    (lambda: nn.InstanceNorm2d(3)(torch.zeros(1, 3, 1, 1)), ["batch normalisation"]),
    (lambda: nn.Conv2d(1, 1, 5)(torch.zeros(1, 1, 3, 3)), ["images are too small", "dataset.size="]),
    (lambda: F.max_pool2d(torch.zeros(1, 1, 1, 1), 2), ["images are too small"]),
    (lambda: F.pad(torch.zeros(1, 1, 2), (5, 5), mode="reflect"), ["images are too small"]),
    (lambda: torch.empty(10**15), ["no memory left", "dataset.limit="]),
    (lambda: np.empty(10**15), ["no memory left"]),
    (lambda: bytearray(10**16), ["no memory left"]),
    (lambda: torch.linalg.inv(torch.eye(2).half()), ["precision", "trainer.precision=32-true"]),
    (lambda: nn.Linear(2, 2)(torch.zeros(1, 2).double()), ["precision"]),
    (lambda: nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2).bfloat16()), ["precision"]),
    (lambda: torch.linalg.solve(torch.zeros(2, 2), torch.ones(2)), ["no solution", "generator"]),
    (frozen, ["nothing that can be trained"]),
    (in_place, ["in place"]),
    (
        lambda: predict(OwnNetwork(), torch.zeros(2, 1, 4, 4), torch.device("cpu")),
        ["test_library_errors.py, line", "fit"],
    ),
    (lambda: predict(nn.Linear(7, 3), torch.zeros(2, 5), torch.device("cpu")), ["Linear: shapes do not fit"]),
    (
        lambda: predict(nn.Sequential(nn.Conv2d(3, 1, 1)), torch.zeros(2, 1, 4, 4), torch.device("cpu")),
        ["Sequential: shapes do not fit", "3 channels"],
    ),
    (lambda: predict(ElseWhere(), torch.zeros(2, 4), torch.device("cpu")), ["different devices", "in forward"]),
    (lambda: F.cross_entropy(torch.zeros(1, 3), torch.tensor([19])), ["test_library_errors.py", "number classes"]),
    (lambda: next(iter(DataLoader(Deadly(), num_workers=1))), ["loads data", "/dev/shm"]),
    (lambda: pickle.dumps(lambda: 0), ["another process", "top of a module"]),
]
"""Calls that fail in the way, and words of the line."""

SAID = [
    (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"),
        ["GPU has no memory", "2.00 GiB"],
    ),
    (RuntimeError("CUDA error: out of memory\nCompile with"), ["GPU has no memory", "base.batch_size"]),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), ["GPU has no memory"]),
    (MemoryError(), ["machine has no memory"]),
    (OSError(12, "Cannot allocate memory"), ["machine has no memory"]),
    (OSError(24, "Too many open files"), ["ulimit -n"]),
    (OSError(24, "Too many open files", "/some/file"), ["ulimit -n"]),
    (BlockingIOError(11, "Resource temporarily unavailable"), ["ulimit -u"]),
    (RuntimeError("can't start new thread"), ["ulimit -u"]),
    (RuntimeError("unable to open shared memory object </torch_12_3> in read-write mode"), ["--shm-size"]),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. out of shared memory"), ["loads data"]),
    (RuntimeError("a training process failed: Signal 9 (SIGKILL) received by PID 123"), ["ended by the system"]),
    (RuntimeError("Found no NVIDIA driver on your system."), ["cannot use the GPU", "trainer.accelerator=cpu"]),
    (RuntimeError("CUDA error: no kernel image is available for execution on the device"), ["cannot use the GPU"]),
    (RuntimeError("CUDA error: device-side assert triggered"), ["label", "trainer.accelerator=cpu"]),
    (RuntimeError("bf16 is not supported on this device"), ["trainer.precision=32-true"]),
    (RuntimeError("\"conv\" not implemented for 'Half'"), ["trainer.precision=32-true"]),
    (RuntimeError("The server socket has failed to listen on any local network address. EADDRINUSE"), ["MASTER_PORT"]),
    (RuntimeError("NCCL error in: ProcessGroupNCCL.cpp:1"), ["lost each other"]),
    (RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [::1]:1"), ["lost each other"]),
    (urllib.error.URLError("no network"), ["download failed", "base.checkpoint="]),
    (RuntimeError("`fused=True` requires all the params to be floating point Tensors"), ["fused=false"]),
    (RuntimeError("x does not have a deterministic implementation, but you set"), ["trainer.deterministic=warn"]),
    (RuntimeError("{braces} CUDA out of memory {0}"), ["{braces}"]),
]
"""What needs another machine, in the libraries' own words."""


@pytest.mark.parametrize(("call", "words"), REAL)
def test_what_a_user_can_mend_is_one_line(call: Callable[[], object], words: list[str]) -> None:
    line = explained(raised(call))
    assert line is not None and "\n" not in line
    assert all(word in line for word in words), line


@pytest.mark.parametrize(("error", "words"), SAID)
def test_so_is_what_other_machines_say(error: BaseException, words: list[str]) -> None:
    wrapped = raised(lambda: (_ for _ in ()).throw(ValueError("wrapped"), None))
    wrapped.__cause__ = error
    for one in (error, wrapped):
        line = explained(one)
        assert line is not None and "\n" not in line
        assert all(word in line for word in words), line


@pytest.mark.parametrize(
    "call",
    [
        lambda: MLP((1, 4, 4), 3)(torch.zeros(2, 1, 5, 5)),
        lambda: LeNet((1, 28, 28), 3)(torch.zeros(2, 2, 28, 28)),
        lambda: Code.targets(None, torch.zeros(2)),  # type: ignore[arg-type]
        lambda: {}["key"],
        lambda: 1 / 0,
    ],
)
def test_a_defect_of_ours_is_not_explained(call: Callable[[], object]) -> None:
    assert explained(raised(call)) is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("a\nb"), "a"),
        (ValueError(""), "ValueError"),
        (KeyError("x"), "KeyError: 'x'"),
        (IndexError("tuple index out of range"), "IndexError: tuple index out of range"),
    ],
)
def test_an_error_in_one_line(error: BaseException, line: str) -> None:
    assert in_one_line(error) == line
