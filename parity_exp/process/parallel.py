"""Jobs in parallel processes under one progress bar. Ctrl-C stops them, and what they have is kept."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

import cloudpickle  # type: ignore[import-untyped]

from parity_exp.errors import UserError
from parity_exp.process import interrupts
from parity_exp.process.fresh import fresh_processes
from parity_exp.process.progress import progress

TELL_S = 0.25

Tell = Callable[[int], None]
"""Is told how many queries a job has simulated so far; raises KeyboardInterrupt where the job shall stop."""

Key = TypeVar("Key", bound=Hashable)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; carries what there was by then: of a job its own part, of several jobs the parts of each by its key."""

    def __init__(self, done: Any) -> None:
        super().__init__(done)
        self.done = done


def in_parallel(
    work: Callable[..., Any],
    jobs: Mapping[Key, tuple[Any, ...]],
    processes: int,
    name: str,
    total: int | None,
    show_progress: bool = True,
    ray: str | None = None,
) -> dict[Key, Any]:
    """Call ``work(*arguments, tell)`` for each job; return what it returns by the job's key.

    Args:
        work: a function.
        jobs: the arguments of each job; objects of classes of a script or a notebook travel with their classes.
        processes: how many jobs run at a time; a single one runs in this process.
        name: of the progress bar.
        total: queries of all jobs together; None: not known in advance.
        show_progress: show a progress bar.
        ray: a Ray cluster to run them on, instead of processes of this machine.

    Raises:
        Interrupted: Ctrl-C; with the results of jobs that were through, and what others gave up by ``Interrupted``.
        UserError: a process was killed, as by a system that is short of memory; or an argument cannot be sent to one.
    """
    count = min(processes, len(jobs))
    with progress(name, total, show_progress) as tell:
        if ray is not None:
            from parity_exp.process.over_ray import over_ray  # for those who have Ray

            orders = {key: _order(work, arguments) for key, arguments in jobs.items()}
            return over_ray(orders, ray, "simulate.ray", (total or 0) // len(jobs), tell)
        return _in_turn(work, jobs, tell) if count == 1 else _in_processes(work, jobs, count, tell)


def _in_turn(work: Callable[..., Any], jobs: Mapping[Key, tuple[Any, ...]], tell: Tell) -> dict[Key, Any]:
    done: dict[Key, Any] = {}
    through = latest = 0

    def add(queries: int) -> None:
        nonlocal latest
        latest = through + queries
        tell(latest)

    for key, arguments in jobs.items():
        try:
            done[key] = work(*arguments, add)
        except Interrupted as interrupted:
            raise Interrupted({**done, key: interrupted.done}) from None
        except KeyboardInterrupt:
            raise Interrupted(done) from None
        through = latest
    return done


def _in_processes(
    work: Callable[..., Any], jobs: Mapping[Key, tuple[Any, ...]], count: int, tell: Tell
) -> dict[Key, Any]:
    context = fresh_processes()
    orders = {key: _order(work, arguments) for key, arguments in jobs.items()}
    simulated: SynchronizedArray[int] = context.Array("q", len(jobs))
    stop = context.Event()
    pool = ProcessPoolExecutor(count, context, _begin, (simulated, stop))
    started = {key: pool.submit(_work, place, order) for place, (key, order) in enumerate(orders.items())}
    try:
        waiting = set(started.values())
        while waiting:
            done, waiting = wait(waiting, TELL_S)
            tell(sum(simulated[:]))
            for job in done:
                job.result()
    except BrokenProcessPool:
        if interrupts.arrived():  # a SIGTERM to all processes of a job at once
            raise Interrupted(_left(started)) from None
        raise UserError(
            "a process was killed, perhaps for want of memory; take a smaller number of processes (simulate.processes)"
        ) from None
    except KeyboardInterrupt:
        stop.set()
        pool.shutdown(cancel_futures=True)
        raise Interrupted(_left(started)) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
    return {key: job.result() for key, job in started.items()}


def _order(work: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """What a process is to do, in a form that it can read whatever program this is.

    Raises:
        UserError: an argument cannot be sent.
    """
    try:
        content: bytes = cloudpickle.dumps((work, arguments))
    except Exception as error:
        raise UserError(
            f"a policy, load or straggler cannot be sent to another process ({error}); take processes=1, or keep open "
            "files, locks and connections out of it"
        ) from None
    return content


def _left(started: Mapping[Key, "Future[Any]"]) -> dict[Key, Any]:
    """What interrupted jobs have left."""
    left: dict[Key, Any] = {}
    for key, job in started.items():
        error = None if job.cancelled() else job.exception()
        if isinstance(error, Interrupted):
            left[key] = error.done
        elif not job.cancelled() and error is None:
            left[key] = job.result()
    return left


# ---- in the processes

_simulated: "SynchronizedArray[int]"
_stop: Event


def _begin(simulated: "SynchronizedArray[int]", stop: Event) -> None:
    """Prepare a process. Ctrl-C is the parent's business, who tells when to stop."""
    global _simulated, _stop
    _simulated, _stop = simulated, stop
    for number in {signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)}:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed tells nobody to stop, and its processes would wait for another job for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(place: int, order: bytes) -> Any:
    work, arguments = pickle.loads(order)

    def tell(queries: int) -> None:
        _simulated[place] = queries
        if _stop.is_set():
            raise KeyboardInterrupt

    return work(*arguments, tell)
