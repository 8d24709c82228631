"""Processes that somebody else has started to train together, on one machine or on several: torchrun, or submitit.

All of them run the same command line. The first one, the leader, does what it says; the others only take part in the
phases of training, when the leader tells them to. So there is one run directory and one tracked run, however many
processes train, and a sweep is gone through once.

Orders go through torch.distributed's default group, and training uses the same one. The folder ``outputs`` has to be
one that all machines see, under the same path.
"""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from parity_exp.errors import UserError

PATIENCE = timedelta(days=7)
"""How long one waits for others: the leader also evaluates, serves, and waits for data."""


def enter() -> None:
    """Take note of tasks that submitit has started, as torchrun makes its processes known to them."""
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


def follow() -> None:
    """Take part in what the leader orders, until it is done.

    Raises:
        SystemExit: the leader has ended without a word.
    """
    try:
        while (order := _told(None)) is not None:
            function, arguments = order
            try:
                function(*arguments)
            except UserError:
                continue  # the leader has it too, and says so
    except (RuntimeError, distributed.DistError):
        # Its end is the end of the connection; whoever has started us says more.
        print(f"process {os.environ['RANK']}: the first process has ended", file=sys.stderr)
        raise SystemExit(1) from None


def lead(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Have every other process call ``function(*arguments)``; to be called by the leader, which then does its part."""
    _told((function, arguments))


def dismiss() -> None:
    """Let the others end; does nothing where there are none, or where they have not been needed."""
    if size() > 1 and not follows():
        _told(None)
        distributed.destroy_process_group()


def _told(order: Any) -> Any:
    """What the leader says; every process has to listen."""
    if not distributed.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)
    orders = [order]
    distributed.broadcast_object_list(orders, src=0, device=torch.device("cpu"))
    return orders[0]
