"""Run a function in several processes of this machine that train together.

The processes are started by torch's elastic launcher from a function, never by running the command line again:
in a sweep that would start the whole sweep in every process. They only train; the parent process keeps tracking,
evaluation and everything else, so each job of a sweep has one tracked run however many processes train for it.

Why not as in :mod:`parity_exp.process.world`, where the first process trains as well and leads the others: somebody
has to stand outside of the group to end all of it when one process has died, for the others wait for that one inside
of a library and hear nothing, Ctrl-C included. There torchrun or Slurm stands outside; here it is this process.
"""

import csv
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from parity_exp.errors import UserError
from parity_exp.process import temporary_folder

POLL_S = 0.5

# Processes that get Ctrl-C end by themselves; at SIGTERM Lightning would have all of them agree first. Launchers that
# cannot be told so pass the signal on.
_ONLY_CTRL_C: dict[str, Any] = (
    {"signals_to_handle": "SIGINT"} if "signals_to_handle" in LaunchConfig.__dataclass_fields__ else {}
)


def run_in_processes(
    count: int,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    history: Path,
    listener: Callable[[dict[str, float]], None],
) -> Any:
    """Call ``function(*arguments)`` in ``count`` processes and return what the first one returns.

    Args:
        count: processes to start.
        function: importable by name; the same for all processes, which find their rank in the environment.
        arguments: can be pickled.
        history: CSV file that the first process adds rows to.
        listener: is told each new row while the processes run.

    Raises:
        UserError: raised in a process; the others are ended.
        KeyboardInterrupt: Ctrl-C; all processes are ended.
        RuntimeError: a process failed in another way.
    """

    with tempfile.TemporaryDirectory(prefix="ranks-", dir=temporary_folder.own()) as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=Path(folder).name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.1,
            start_method="spawn",
            **_ONLY_CTRL_C,
        )
        complaint = Path(folder, "complaint")
        launch = elastic_launch(config, entrypoint=_process)
        with _handlers_kept(), _followed(history, listener):
            try:
                results = launch(function, arguments, complaint, max(1, _cores() // count))
            except ChildFailedError as error:
                if complaint.is_file():
                    raise UserError(complaint.read_text()) from None
                _, failure = error.get_first_failure()
                if failure.exitcode == -signal.SIGBUS:  # memory that was promised is not there
                    raise RuntimeError("a training process ran out of shared memory, /dev/shm") from None
                raise RuntimeError(f"a training process failed: {_in_full(failure.message)}") from None
            except SignalException as error:
                # Whatever the launcher has heard ends a command as Ctrl-C does.
                raise KeyboardInterrupt from error
        return results[0]


def _process(function: Callable[..., Any], arguments: tuple[Any, ...], complaint: Path, threads: int) -> Any:
    torch.set_num_threads(threads)
    try:
        return function(*arguments)
    except UserError as error:
        complaint.write_text(str(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.exit(1)


@contextmanager
def _followed(history: Path, listener: Callable[[dict[str, float]], None]) -> Iterator[None]:
    """Tell the listener each row that appears in a CSV file."""
    told = len(_rows(history))
    ended = threading.Event()

    def tell_new() -> None:
        nonlocal told
        rows = _rows(history)
        for row in rows[told:]:
            listener(row)
        told = max(told, len(rows))

    def follow() -> None:
        while not ended.wait(POLL_S):
            tell_new()

    thread = threading.Thread(target=follow, name="history", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        tell_new()


def _rows(history: Path) -> list[dict[str, float]]:
    """The whole rows of a CSV file that may be growing."""
    if not history.is_file():
        return []
    lines = history.read_text().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(whole)]


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """The launcher takes over signals; give them back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _in_full(message: Any) -> str:
    """What the launcher knows of a process's exception, its traceback included."""
    if not isinstance(message, dict):
        return str(message)
    return f"{message.get('message')}\n{message.get('extraInfo', {}).get('py_callstack', '')}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
