"""The guide to the field knows what can be chosen, and says nothing where there is nothing to compare."""

from pathlib import Path

from parity_exp.analysis.pages.approaches import COLUMNS, guide
from parity_exp.policies.look import Look
from parity_exp.recordings.looks import KNOWN

REDUNDANCY = Path(__file__).parents[3] / "conf" / "redundancy"


def test_every_policy_that_can_be_chosen_is_in_the_guide() -> None:
    # `coded` is the run's own code, berrut or nercc.
    explained = {name for name, look in KNOWN.items() if look.idea}
    assert explained == {path.stem for path in REDUNDANCY.glob("*.yaml")} - {"coded"}


def test_the_guide_shows_what_is_compared() -> None:
    section = guide({"hedged", "parity", "mine"})
    (table,) = section.tables
    assert [row[0] for row in table.rows] == ["hedged", "parity"]
    assert {len(row) for row in table.rows} == {len(COLUMNS)}
    assert not guide({"parity"}).tables and not guide({"mine", "yours"}).tables


def test_a_policy_of_a_user_explains_itself() -> None:
    section = guide({"hedged", "mine"}, {"mine": Look(idea="Mine.", source="me"), "hedged": Look(idea="Not hedged.")})
    (table,) = section.tables
    assert [(row[0], row[5]) for row in table.rows] == [("hedged", "-"), ("mine", "me")]
