"""Processes that somebody else has started to train together, on one machine or on several: torchrun, or submitit.

All of them run the same command line. The first one, the leader, does what it says; the others only take part in the
phases of training, when the leader tells them to. So there is one run directory and one tracked run, however many
processes train, and a sweep is gone through once.

Orders are numbered, and lie in the store where the processes also find each other. The process group lasts for a phase:
what the leader does in between, such as evaluation, is not to wait for the others. The folder ``outputs`` has to be one
that all machines see, under the same path.
"""

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any

import torch
from torch import distributed
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from parity_exp.checks import SettingError
from parity_exp.errors import UserError

PATIENCE = timedelta(days=30)
"""How long to wait for an order: the leader also evaluates, serves, and waits for other jobs."""

HOSTED = "TORCHELASTIC_USE_AGENT_STORE"
"""What torch reads to know whether the store is there before the processes are."""

_numbers = count()


def enter() -> None:
    """Take note of tasks that submitit has started, as torchrun's processes are told by it."""
    if "SUBMITIT_EXECUTOR" not in os.environ or "RANK" in os.environ:
        return
    from submitit import JobEnvironment
    from submitit.helpers import TorchDistributedEnvironment

    job = JobEnvironment()
    if job.num_tasks > 1:
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        os.environ |= {
            "TORCHELASTIC_RUN_ID": job.job_id,
            "GROUP_RANK": str(job.node),
            "GROUP_WORLD_SIZE": str(job.num_nodes),
        }


def size() -> int:
    """How many processes were started together; 1: this one alone."""
    return int(os.environ["WORLD_SIZE"]) if distributed.is_torchelastic_launched() else 1


def follows() -> bool:
    """Whether this process is one that waits for the leader's orders."""
    return size() > 1 and os.environ["RANK"] != "0"


@contextmanager
def leading(function: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Have every other process call ``function(*arguments)``, while the leader does its part in the block."""
    number = next(_numbers)
    _store().set(str(number), pickle.dumps((function, arguments)))  # type: ignore[arg-type]
    with _group(number):
        yield


def dismiss() -> None:
    """Let the others end; does nothing where there are none."""
    if size() > 1 and not follows():
        with suppress(distributed.DistError):  # who has started us is ending, and ends all
            _store().set(str(next(_numbers)), pickle.dumps(None))  # type: ignore[arg-type]


def follow() -> None:
    """Take part in what the leader orders, until it is done.

    Raises:
        SystemExit: the leader has ended without a word.
    """
    for number in _numbers:
        try:
            order = pickle.loads(_store().get(str(number)))
        except distributed.DistError:
            print(f"process {os.environ['RANK']}: the first process has ended", file=sys.stderr)
            raise SystemExit(1) from None
        if order is None:
            return
        function, arguments = order
        try:
            with _group(number):
                function(*arguments)
        except (SettingError, UserError):
            continue  # the leader has it too, and says so


@contextmanager
def _group(number: int) -> Iterator[None]:
    """The process group of a phase."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store = PrefixStore(f"group-{number}", _store())
    distributed.init_process_group(backend, store=store, rank=int(os.environ["RANK"]), world_size=size())
    try:
        yield
    finally:
        distributed.destroy_process_group()


@cache
def _store() -> Store:
    """Where processes find each other: torchrun's, or one of the leader's."""
    host = os.environ.get(HOSTED) != str(True) and not follows()
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=host, timeout=PATIENCE, wait_for_workers=False)
    return PrefixStore("parity_exp", store)
