"""The guide to the field knows what can be chosen, and says nothing where there is nothing to compare."""

from pathlib import Path

from parity_exp.analysis.field_guide import APPROACHES, COLUMNS, guide

REDUNDANCY = Path(__file__).parents[2] / "conf" / "redundancy"


def test_every_policy_that_can_be_chosen_is_in_the_guide() -> None:
    # `coded` is the run's own code, berrut or nercc.
    assert {approach.name for approach in APPROACHES} == {path.stem for path in REDUNDANCY.glob("*.yaml")} - {"coded"}


def test_the_guide_shows_what_is_compared() -> None:
    section = guide({"hedged", "parity", "mine"})
    (table,) = section.tables
    assert [row[0] for row in table.rows] == ["hedged", "parity"]
    assert {len(row) for row in table.rows} == {len(COLUMNS)}
    assert not guide({"parity"}).tables and not guide({"mine", "yours"}).tables
