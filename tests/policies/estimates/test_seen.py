"""What a policy keeps of what it has seen."""

from math import inf

import pytest

from parity_exp.policies.estimates import seen
from parity_exp.policies.estimates.seen import LATEST, LEAST, MOST, SPAN_S, Memory


def filled(arrivals: int, gap_s: float, start_s: float = 0.0, memory: Memory | None = None) -> Memory:
    memory = memory or Memory(3)
    for arrival in range(arrivals):
        at_s = start_s + arrival * gap_s
        memory.arrived(at_s)
        memory.took(arrival % 3, at_s, at_s + 0.01, parity=arrival % 2 == 1)
    return memory


@pytest.mark.parametrize(
    ("gap_s", "kept"), [(1.0, LEAST), (SPAN_S / 4_000, 4_001), (SPAN_S / 100_000, MOST)], ids=["rare", "usual", "often"]
)
def test_the_last_seconds_are_kept_but_not_too_few_arrivals_nor_too_many(gap_s: float, kept: int) -> None:
    past = filled(20_000, gap_s).seen()
    assert len(past.arrivals_s) == pytest.approx(kept, abs=1)
    assert past.arrivals_s[-1] == pytest.approx(19_999 * gap_s)
    assert min(past.begins_s) >= past.arrivals_s[0]
    assert len(past.begins_s) == pytest.approx(kept / 2, abs=2), "queries' own work alone"


def test_memory_is_bounded_though_nobody_asks() -> None:
    memory = filled(5 * MOST, 1e-5)
    assert len(memory.arrivals_s) < 2 * MOST and len(memory.over) < 2 * MOST + 3


@pytest.mark.parametrize(("factor", "noticed"), [(1.0, False), (1.15, False), (2.0, True), (0.5, True)])
def test_a_change_of_the_rate_is_noticed_and_what_was_before_forgotten(factor: float, noticed: bool) -> None:
    memory = filled(3 * LATEST, 0.01)
    filled(LATEST, 0.01 * factor, 3 * LATEST * 0.01, memory)
    assert memory.changed() is noticed
    assert (len(memory.arrivals_s) == LATEST) is noticed
    assert not memory.changed(), "it is told once"


def test_how_long_a_parity_query_takes_beside_a_query_is_known_once_there_are_some() -> None:
    memory = Memory(1)
    assert memory.seen().parity_ratio == 1.0
    for at_s in range(2 * seen.LATEST):
        memory.arrived(float(at_s))
        memory.took(0, at_s, at_s + 0.1, parity=False)
        memory.took(0, at_s, at_s + 0.15, parity=True)
    assert memory.seen().parity_ratio == pytest.approx(1.5)


def test_what_was_lost_is_without_end() -> None:
    memory = filled(1, 1.0)
    memory.took(2, 0.5, inf, parity=False)
    assert list(memory.seen().durations_s) == pytest.approx([0.01, inf])
