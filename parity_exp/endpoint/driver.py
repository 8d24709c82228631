"""Lets a frontend take its turns in the loop that its clients are heard in."""

import asyncio
import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

from parity_exp.endpoint.live_frontend import LiveFrontend
from parity_exp.process.timer import Timer

LONGEST_S = 0.05
"""Pools want to be polled so often, also where nothing is to be done."""

BRIEF_S = 0.001
"""Those that do not say when they have something are asked so often."""


@contextmanager
def driven(
    frontend: LiveFrontend,
    bell: int | None,
    loop: asyncio.AbstractEventLoop,
    broken: Callable[[BaseException], None],
) -> Iterator[None]:
    """Have a frontend serve for the length of the block, in whose end it answers what is left with an error.

    Args:
        frontend: with instances that are started.
        bell: its pool's.
        loop: of the thread that this is called in.
        broken: is called, once, with a defect that has ended the frontend.
    """
    driver = _Driver(frontend, bell, loop, broken)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what an instance needs a core for is not to wait for sums of a few numbers
    try:
        with torch.inference_mode():
            driver.begin()
            yield
    finally:
        driver.end()
        torch.set_num_threads(threads)


class _Driver:
    """Calls a frontend when it has something to do: a client, an instance, or a time."""

    def __init__(
        self,
        frontend: LiveFrontend,
        bell: int | None,
        loop: asyncio.AbstractEventLoop,
        broken: Callable[[BaseException], None],
    ) -> None:
        self.frontend = frontend
        self.loop = loop
        self.broken = broken
        self._timer = Timer()
        self._at_s = math.inf  # that the timer is set to
        self._called = False
        self._bell = bell
        self._longest_s = BRIEF_S if bell is None else LONGEST_S
        self._over = False

    def begin(self) -> None:
        gc.collect()
        gc.freeze()  # what is there by now is there for good, and need not be looked at again and again
        self.frontend.begin()
        self.frontend.busy = self._soon
        for descriptor in self._descriptors():
            self.loop.add_reader(descriptor, self._turn)
        self._soon()

    def end(self) -> None:
        if not self._over:
            self._close()
            self.frontend.end()

    def _close(self) -> None:
        self._over = True
        self.frontend.busy = _idle
        for descriptor in self._descriptors():
            with suppress(ValueError, OSError):  # it is being closed
                self.loop.remove_reader(descriptor)
        self._timer.close()

    def _descriptors(self) -> list[int]:
        return [self._timer.descriptor] if self._bell is None else [self._timer.descriptor, self._bell]

    def _soon(self) -> None:
        """Take a turn after all that the loop has at hand now, which may be more of the same."""
        if not self._called:
            self._called = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        if self._over:
            return
        self._called = False
        began_s = time.thread_time()
        try:
            now_s = time.monotonic()
            if now_s >= self._at_s:
                self._timer.silence()
                self._at_s = math.inf
            until_s = min(self.frontend.turn(), now_s + self._longest_s)
            if until_s < self._at_s:  # a turn too many costs less than setting the timer each time
                self._at_s = until_s
                self._timer.set(until_s)
        except Exception as error:
            self._close()
            self.broken(error)
        self.frontend.cpu_s += time.thread_time() - began_s


def _idle() -> None:
    """Nobody drives the frontend any more."""
