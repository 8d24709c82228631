"""What ways came to on clusters like this one."""

from math import log

import numpy as np
import pytest

from parity_exp.policies.autopilot import WAYS_OF_SEVERAL
from parity_exp.policies.estimates.experience import LEVELS, Expected, Experience, expected_of, experience, row_of
from parity_exp.policies.estimates.traits import TRAITS
from parity_exp.policies.replay import Replayed


def traits(**values: float) -> np.ndarray:
    return np.array([values.get(name, 0.0) for name in TRAITS])


def table(rows: int = 200) -> list[dict[str, float]]:
    """Where instances are busy "a" is the better way, where they are not "b" is."""
    busy = np.random.default_rng(0).uniform(0, 1, rows)
    return [
        row_of(
            traits(busy=one),
            {"a": Expected((1 - one,) * 3, 1.0, 0.0), "b": Expected((one / 2, one, 2 * one), 2.0, one / 2)},
        )
        for one in busy
    ]


def test_what_clusters_like_it_came_to_is_expected_of_one() -> None:
    for busy in (0.1, 0.5, 0.9):
        told, sure = Experience(table()).expects(traits(busy=busy))
        assert told["a"].excess == pytest.approx((1 - busy,) * 3, abs=0.03)
        assert told["b"].excess == pytest.approx((busy / 2, busy, 2 * busy), abs=0.06)
        assert told["b"].tasks == pytest.approx(2.0) and told["b"].reconstructed == pytest.approx(busy / 2, abs=0.03)
        assert sure > 0.9


def test_of_a_cluster_like_no_other_the_mean_is_expected_and_little_is_known() -> None:
    known = table()
    told, sure = Experience(known).expects(traits(busy=1e3))
    assert sure < 0.01
    assert told["a"].excess == pytest.approx((np.mean([row["a p99"] for row in known]),) * 3, abs=0.01)


def test_a_way_that_was_not_tried_everywhere_is_told_from_where_it_was() -> None:
    everywhere = table(100)
    elsewhere = [row | {name: "" for name in row if name.startswith("b ")} for row in table(300)[100:]]
    known, of_few = Experience([*everywhere, *elsewhere]), Experience(everywhere)
    told, _ = known.expects(traits(busy=0.3))
    assert told["b"].excess == pytest.approx((0.15, 0.3, 0.6), abs=0.06)
    assert told["b"].tasks == pytest.approx(2.0)
    assert told["a"].excess == pytest.approx((0.7,) * 3, abs=0.03)
    far = traits(busy=1e3)
    assert known.expects(far)[0]["b"].excess == pytest.approx(of_few.expects(far)[0]["b"].excess, abs=1e-6)


def test_between_two_percentiles_it_lies_between() -> None:
    one = Expected((0.1, 0.2, 0.4), 1.0, 0.0)
    assert [one.excess_at(level) for level in LEVELS] == pytest.approx([0.1, 0.2, 0.4])
    assert 0.2 < one.excess_at(99.5) < 0.4
    assert one.excess_at(50) == 0.1 and one.excess_at(99.99) == pytest.approx(0.4)


def test_ways_are_compared_with_the_best_at_each_level() -> None:
    made = {
        "a": Replayed([1.0] * 9_000 + [2.0] * 1_000, 1.0, 0.0),
        "b": Replayed([2.0] * 9_000 + [1e9] * 1_000, 1.5, 0.25),
    }
    told = expected_of(made, 10_000)
    assert told["a"].excess == (0, 0, 0)
    assert told["b"].excess[0] > log(2) and told["b"].excess[1:] == pytest.approx((log(100),) * 2)
    assert (told["b"].tasks, told["b"].reconstructed) == (1.5, 0.25)


@pytest.mark.parametrize("column", ["busy", "a p99", "b reconstructed"])
def test_a_table_without_a_column_is_refused(column: str) -> None:
    with pytest.raises(ValueError, match=column):
        Experience([{name: value for name, value in row.items() if name != column} for row in table(5)])


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="expected rows"):
        Experience([])


def test_the_table_that_comes_with_the_package_knows_all_ways() -> None:
    known = experience()
    assert known.ways == list(WAYS_OF_SEVERAL)
    idle = traits(
        instances=log(36),
        queries_a_group=2,
        parities_a_group=1,
        known=log(2_000),
        busy=0.2,
        busy_usually=0.2,
        room=4.8,
        room_for_parity=4.2,
        room_for_copies=3.6,
        busy_at_peak=0.28,
        room_at_peak=4.3,
        room_for_parity_at_peak=3.5,
        room_for_copies_at_peak=2.6,
        uneven=log(1.1),
        pause=log(1.2),
        **{"p90": 0.1, "p95": 0.2, "p99": 1.5, "p99.9": 2.0, "late": 0.2, "very_late": 0.15},
        apart=log(1.3),
        together=0.05,
        crowded=log(1.3),
        crowded_longer=log(1.3),
    )
    told, sure = known.expects(idle)
    assert sure > 0.5
    assert told["copies"].excess_at(99.9) < told["hedging"].excess_at(99.9) < told["nothing"].excess_at(99.9)
    assert 1.8 < told["copies"].tasks < 2.2 and told["copies"].reconstructed < 0.05
    assert 0.9 < told["nothing"].tasks < 1.1
