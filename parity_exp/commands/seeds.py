"""Several seeds of a simulation in parallel processes."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from parity_exp.commands.progress import progress
from parity_exp.commands.simulation import Progress, Simulation, simulate_seed
from parity_exp.errors import UserError

TELL_S = 0.25


class SeedsInterrupted(KeyboardInterrupt):
    """Ctrl-C; carries the metrics of the seeds that had been through."""

    def __init__(self, done: dict[int, dict[str, float]]) -> None:
        super().__init__()
        self.done = done


def simulate_seeds(simulation: Simulation, seeds: Sequence[int], folder: Path) -> dict[int, dict[str, float]]:
    """Simulate each seed in a process; return the metrics by seed.

    Args:
        simulation: how.
        seeds: which; recordings are kept of the first.
        folder: where these go.

    Raises:
        SeedsInterrupted: Ctrl-C.
        UserError: a process was killed, as by a system that is short of memory.
    """
    config: Any = OmegaConf.to_container(simulation.config)
    context = multiprocessing.get_context("spawn")
    answered: SynchronizedArray[int] = context.Array("q", len(seeds))
    stop = context.Event()
    count = min(simulation.processes, len(seeds))
    pool = ProcessPoolExecutor(count, context, _begin, (answered, stop, os.getpid()))
    total = len(seeds) * len(simulation.policies) * simulation.load.total
    jobs = {
        seed: pool.submit(_simulate, config, seed, place, None if place else folder) for place, seed in enumerate(seeds)
    }
    try:
        with progress(f"{len(seeds)} seeds", total) as tell:
            waiting = set(jobs.values())
            while waiting:
                done, waiting = wait(waiting, TELL_S)
                tell(sum(answered[:]))
                for job in done:
                    job.result()
    except BrokenProcessPool:
        raise UserError(
            "a process was killed, perhaps for want of memory; set simulate.processes to a smaller number"
        ) from None
    except KeyboardInterrupt:
        stop.set()
        pool.shutdown(cancel_futures=True)
        through = {s: job for s, job in jobs.items() if job.done() and not job.cancelled() and not job.exception()}
        raise SeedsInterrupted({seed: job.result() for seed, job in through.items()}) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
    return {seed: job.result() for seed, job in jobs.items()}


# ---- in the processes

_answered: "SynchronizedArray[int]"
_stop: Event
_parent: int


def _begin(answered: "SynchronizedArray[int]", stop: Event, parent: int) -> None:
    """Prepare a process. Ctrl-C is the parent's business, who tells when to stop."""
    global _answered, _stop, _parent
    _answered, _stop, _parent = answered, stop, parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _simulate(config: dict[str, Any], seed: int, place: int, folder: Path | None) -> dict[str, float]:
    made = OmegaConf.create(config)
    assert isinstance(made, DictConfig)

    @contextmanager
    def counted(_: str) -> Iterator[Progress]:
        before = _answered[place]

        def tell(answered: int) -> None:
            _answered[place] = before + answered
            if _stop.is_set() or os.getppid() != _parent:
                raise KeyboardInterrupt

        yield tell

    return simulate_seed(Simulation(made), seed, folder, counted)
