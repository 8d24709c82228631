"""A timeline agrees with looking at every slowdown at every time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity_exp.disturbances.timeline import FAULTS, Fault, Timeline

# Few different times, so that edges meet.
TIMES = st.integers(0, 12).map(lambda step: step / 4)
SLOWDOWNS = st.lists(
    st.tuples(TIMES, TIMES, st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.sampled_from([0.0, 0.25, 1.5])).filter(
        lambda row: row[0] <= row[1]
    ),
    max_size=12,
)


@given(SLOWDOWNS, st.lists(st.floats(-1, 5), max_size=10))
def test_factors_multiply_and_extra_times_add_up(
    slowdowns: list[tuple[float, float, float, float]], times: list[float]
) -> None:
    timeline = Timeline(slowdowns)
    edges = [edge for start_s, end_s, _, _ in slowdowns for edge in (start_s, end_s)]
    for time_s in [*times, *edges]:
        active = [row for row in slowdowns if row[0] <= time_s < row[1]]
        factor, extra_s = timeline.at(time_s)
        assert factor == pytest.approx(math.prod(row[2] for row in active))
        assert extra_s == pytest.approx(sum(row[3] for row in active))


@given(
    st.lists(
        st.tuples(TIMES, TIMES, st.sampled_from(FAULTS), st.integers(1, 3)).filter(lambda row: row[0] <= row[1]),
        max_size=8,
    ),
    st.lists(st.floats(-1, 5), max_size=10),
)
def test_of_the_faults_at_a_time_the_last_to_begin_spoils(
    rows: list[tuple[float, float, str, int]], times: list[float]
) -> None:
    timeline = Timeline((), [(start_s, end_s, Fault(kind, scale)) for start_s, end_s, kind, scale in rows])
    for time_s in [*times, *(edge for row in rows for edge in row[:2])]:
        active = [(row[0], number) for number, row in enumerate(rows) if row[0] <= time_s < row[1]]
        expected = Fault(*rows[max(active)[1]][2:]) if active else None
        assert timeline.fault(time_s) == expected
    assert timeline.at(1.0) == (1.0, 0.0)
    assert bool(timeline) is bool(rows)


def test_without_slowdowns_nothing_is_delayed() -> None:
    assert not Timeline()
    assert Timeline().at(3.0) == (1.0, 0.0)
    assert Timeline().fault(3.0) is None
