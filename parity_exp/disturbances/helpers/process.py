"""The main function of a helper's process: work while it is time to, sleep otherwise, end with the parent.

The pipe to the parent carries four messages. The process says that it is ready (None), or what went wrong, then or
later (text). The parent says at which time the run begins, and later that it is over, which it also says by dying.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

import torch

from parity_exp.devices.backends import load_backends
from parity_exp.disturbances.helpers.helper import Helper, Work

LONGEST_WAIT_S = 3600.0


def attend(
    pipe: Connection,
    helper: Helper,
    spans: Sequence[tuple[float, float]],
    device: str,
    core: int | None,
    seed: int,
    backends: Sequence[str] = (),
) -> None:
    """Run a helper.

    Args:
        pipe: to the parent.
        helper: what to do.
        spans: when to do it, ``(start_s, end_s)`` from the beginning of the run, ascending and apart from each other.
        device: where.
        core: the processor core to stay on; None: any.
        seed: of what the work draws at random.
        backends: modules that bring devices.
    """
    # Ctrl-C goes to every process of the terminal; it is the parent who ends the run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        torch.set_num_threads(1)
        load_backends(backends)
        work = helper.prepare(device, seed)
        pipe.send(None)
        zero_s = pipe.recv()
        if zero_s is not None:
            _follow(pipe, work, [(zero_s + start_s, zero_s + end_s) for start_s, end_s in spans])
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # The parent has died.
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        with suppress(OSError):
            pipe.send(f"{type(error).__name__}: {first_line}")


def _follow(pipe: Connection, work: Work, spans: Sequence[tuple[float, float]]) -> None:
    for start_s, end_s in spans:
        if not (_sleep(pipe, start_s) and _toil(pipe, work, end_s)):
            return
    # Stay, so that the parent can tell who is done from who has died.
    while not pipe.poll(LONGEST_WAIT_S):
        pass


def _toil(pipe: Connection, work: Work, end_s: float) -> bool:
    """Work until a time; false when the parent wants the end."""
    now_s = time.monotonic()
    work.begin(now_s)
    while now_s < end_s:
        if not _sleep(pipe, min(work.piece(now_s), end_s)):
            return False
        now_s = time.monotonic()
    return True


def _sleep(pipe: Connection, until_s: float) -> bool:
    """Sleep until a time; false when the parent wants the end."""
    while True:
        left_s = until_s - time.monotonic()
        if pipe.poll(min(max(left_s, 0), LONGEST_WAIT_S)):
            return False
        if left_s <= LONGEST_WAIT_S:
            return True
