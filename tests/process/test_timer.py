"""A descriptor for a time."""

import select
import time

import pytest

from parity_exp.process.timer import Timer


def readable(timer: Timer, timeout_s: float) -> bool:
    return bool(select.select([timer.descriptor], [], [], timeout_s)[0])


def test_it_is_readable_from_its_time_until_it_is_silenced() -> None:
    timer = Timer()
    assert not readable(timer, 0)
    at_s = time.monotonic() + 0.0123
    timer.set(at_s)
    assert readable(timer, 60) and time.monotonic() >= at_s
    timer.silence()
    assert not readable(timer, 0)
    timer.close()
    timer.close()


@pytest.mark.parametrize("at_s", [-1.0, 0.0, 1.0])
def test_a_time_that_is_over_is_now(at_s: float) -> None:
    timer = Timer()
    timer.set(at_s)
    assert readable(timer, 60)
    timer.close()


def test_another_time_takes_the_place_of_the_first() -> None:
    timer = Timer()
    timer.set(0.0)
    timer.set(time.monotonic() + 3600)
    assert not readable(timer, 0)
    timer.silence()
    timer.set(0.0)
    assert readable(timer, 60)
    timer.close()
