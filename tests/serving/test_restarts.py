"""When an instance that died starts again, and when it is given up."""

from hypothesis import given
from hypothesis import strategies as st

from parity_exp.serving.pools.restarts import LEAST_CYCLE_S, LONGEST_DELAY_S, Restarts


def test_an_instance_that_worked_starts_again_at_once() -> None:
    restarts = Restarts(max_failures=2)
    for _ in range(100):
        assert restarts.delay_s(lived_s=0.2, worked=True, failed=True) == 0


def test_failures_in_a_row_wait_longer_and_longer_and_then_end_it() -> None:
    restarts = Restarts(max_failures=12)
    delays = [restarts.delay_s(lived_s=1.0, worked=False, failed=True) for _ in range(12)]
    assert delays[:4] == [0, 0.1, 0.2, 0.4]
    assert delays[-2:] == [LONGEST_DELAY_S, None]


def test_one_finished_task_forgives_all_failures() -> None:
    restarts = Restarts(max_failures=3)
    for _ in range(10):
        assert restarts.delay_s(1.0, worked=False, failed=True) is not None
        assert restarts.delay_s(1.0, worked=False, failed=True) is not None
        assert restarts.delay_s(1.0, worked=True, failed=True) == 0


@given(st.lists(st.floats(0, 10), max_size=50))
def test_an_instance_that_dies_idle_is_never_given_up_and_never_keeps_a_core_busy(lives_s: list[float]) -> None:
    restarts = Restarts(max_failures=1)
    for lived_s in lives_s:
        delay_s = restarts.delay_s(lived_s, worked=False, failed=False)
        assert delay_s is not None
        assert lived_s + delay_s >= LEAST_CYCLE_S
