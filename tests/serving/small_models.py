"""Networks and loaders for tests of pools; importable, so that instances can load them."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from parity_exp.errors import UserError
from parity_exp.serving.pool import ServedModel

SHAPE = (1, 28, 28)
LARGE = (3, 224, 224)


class Scale(nn.Module):
    """``(n, *shape) -> (n, *shape)``: every number times a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, queries: Tensor) -> Tensor:
        return queries * self.factor


class Sums(nn.Module):
    """``(n, *shape) -> (n, 2)``: the sum of a query, and how many queries came together."""

    def forward(self, queries: Tensor) -> Tensor:
        sums = queries.flatten(1).sum(1)
        return torch.stack([sums, torch.full_like(sums, len(queries))], dim=1)


class Linear(nn.Module):
    """``(n, 6) -> (n, 3)``. Its parity model is itself, since it is linear."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)))

    def forward(self, queries: Tensor) -> Tensor:
        return queries @ self.weights


class Corner(nn.Module):
    """``(n, 1, 28, 28) -> (n, 10)``: as little work as there can be."""

    def forward(self, queries: Tensor) -> Tensor:
        return queries[:, 0, 0, :10]


class Obedient(nn.Module):
    """Does what a task's first number says.

    1 raises, 2 never ends, 3 exits, 4 takes 0.2 s, 5 gives a wrong shape, 6 reads outside of a tensor, which a GPU does
    not recover from.
    """

    def forward(self, queries: Tensor) -> Tensor:
        order = int(queries.flatten()[0])
        if order == 1:
            raise ValueError("this query\nis not to be answered")
        while order == 2:
            pass
        if order == 3:
            os._exit(7)
        if order == 4:
            time.sleep(0.2)
        if order == 5:
            return queries.flatten()
        if order == 6:
            return torch.zeros(1, device=queries.device)[torch.full((1, 1), 10**6, device=queries.device)]
        return queries.flatten(1)[:, :1]


class Dies(nn.Module):
    """Takes its process down on any task that is not zeros, as a warm-up is."""

    def forward(self, queries: Tensor) -> Tensor:
        if queries.any():
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)  # where another thread takes the signal
        return queries.flatten(1)[:, :1]


def scale(factor: float) -> nn.Module:
    return Scale(factor)


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def missing_checkpoint() -> nn.Module:
    raise UserError("base.checkpoint=nowhere.ckpt: no such file")


def out_of_memory() -> nn.Module:
    raise RuntimeError("out of memory.\n  Tried to allocate 20.00 GiB")


def exits() -> nn.Module:
    os._exit(9)


def never_ready() -> nn.Module:
    time.sleep(600)
    raise AssertionError


def only_first_time(marker: Path) -> nn.Module:
    """A network for who comes first; an error for everybody after."""
    if marker.exists():
        raise RuntimeError("the checkpoint is gone")
    marker.touch()
    return Dies()


CORNER = ServedModel(Corner, SHAPE, (10,))
SUMS = ServedModel(Sums, SHAPE, (2,))
OBEDIENT = ServedModel(Obedient, (2,), (1,))
DIES = ServedModel(Dies, (2,), (1,))


class BareActor:
    """For Ray: models behind an actor, and nothing else."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.models = {"mlp": mlp().eval(), "corner": CORNER.load()}

    def tensor(self, model: str, queries: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.models[model](queries).clone()

    def array(self, model: str, queries: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.models[model](torch.from_numpy(queries.copy())).numpy().copy()


class Pid(nn.Module):
    """``(n, 1, 28, 28) -> (n, 2)``: the process, and how often a network has been made in it."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        Pid.made += 1
        self.number = Pid.made

    def forward(self, queries: Tensor) -> Tensor:
        return torch.tensor([[float(os.getpid()), float(self.number)]]).expand(len(queries), 2)


class LosesItsDevice(nn.Module):
    """Raises what torch raises when a GPU fails, on any task but zeros; 2 is for want of memory."""

    def forward(self, queries: Tensor) -> Tensor:
        order = float(queries.flatten()[0])
        if order == 1:
            raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later")
        if order == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nSee the documentation")
        return queries.flatten(1)[:, :1]


def no_device() -> nn.Module:
    raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nCUDA kernel errors might")


PID = ServedModel(Pid, SHAPE, (2,))
LOSES_ITS_DEVICE = ServedModel(LosesItsDevice, (2,), (1,))


class NastyError(Exception):
    """Has no text to give."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


NASTY_ERRORS: list[BaseException] = [
    ValueError("caf\udce9 \ud800"),
    ValueError("\x1b[31mred\x00\x07"),
    ValueError("much " * 3_000_000),
    ValueError("\ud800" * 100_000),
    NastyError(),
    SystemExit("over"),
    KeyboardInterrupt(),
    ValueError(),
    ExceptionGroup("several", [ValueError("one\ntwo"), TypeError("three")]),
]


class Nasty(nn.Module):
    """Raises that of the nasty errors which a task's first number says, counted from 1; of 0 none."""

    def forward(self, queries: Tensor) -> Tensor:
        order = int(queries.flatten()[0])
        if order:
            raise NASTY_ERRORS[order - 1]
        return queries.flatten(1)[:, :1]


NASTY = ServedModel(Nasty, (2,), (1,))
