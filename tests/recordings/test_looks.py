"""Each policy has a colour and words of its own, which it declares itself, whatever else is listed in what order."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from parity_exp import policies
from parity_exp.analysis.figures.colours import policy_colours
from parity_exp.analysis.figures.latency import latency_ccdf
from parity_exp.policies import Hedged, Parity, Replication
from parity_exp.policies.look import Look
from parity_exp.policies.policy import Policy
from parity_exp.recordings.looks import CLASSES, KNOWN, baseline_among, look_of, read_looks, write_looks
from parity_exp.recordings.names import POLICIES
from parity_exp.recordings.reader import read_recordings

pytestmark = pytest.mark.draws

REDUNDANCY = Path(__file__).parents[2] / "conf" / "redundancy"
NAMES = sorted(path.stem for path in REDUNDANCY.glob("*.yaml"))
USERS = [f"mine_{number}" for number in range(30)]


class Coloured(Hedged):
    """Says how it appears."""

    looks = (Look(colour="#123456", idea="Hedges in blue.", is_baseline=True),)


class Silent(Parity):
    """Says nothing."""


class Odd(Replication):
    """Says what is no colour."""

    looks = (Look(colour="colourful"),)


def test_every_policy_that_can_be_chosen_declares_a_colour_of_its_own() -> None:
    assert set(KNOWN) == set(NAMES)
    assert {one.__name__ for one in CLASSES} == set(policies.__all__)
    colours = [to_rgb(look.colour) for look in KNOWN.values() if look.colour is not None]
    assert len(colours) == len(NAMES)
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(np.subtract(one, other)) > 0.09


def test_a_colour_depends_on_neither_the_order_nor_the_others() -> None:
    everything = policy_colours([*NAMES, *USERS])
    assert len(set(everything.values())) == len(everything)
    for seed in range(5):
        some = random.Random(seed).sample([*NAMES, *USERS], 12)
        assert policy_colours(some) == {name: everything[name] for name in some}
    known = np.array([to_rgb(everything[name]) for name in NAMES])
    assert all(np.linalg.norm(known - to_rgb(everything[name]), axis=1).min() > 0.2 for name in USERS)


@pytest.mark.parametrize("made", [Coloured, Silent, Odd])
def test_what_a_class_says_is_not_said_by_who_derives_from_it(made: type[Policy]) -> None:
    class Derived(made):  # type: ignore[misc, valid-type]
        """Another policy."""

    assert Derived.look("derived") is None


def test_a_run_directory_keeps_what_policies_of_users_say(tmp_path: Path) -> None:
    write_looks(tmp_path, {"mine": Coloured(2, 1), "silent": Silent(2, 1), "odd": Odd(2, 1), "hedged": Hedged(2, 1)})
    looks = read_looks(tmp_path)
    assert looks["mine"] == Coloured.looks[0] and looks["hedged"] == Hedged.looks[0]
    assert looks["silent"] == Look("silent", idea="Says nothing.")
    assert looks["odd"] == Look(colour="colourful", idea="Says what is no colour.")
    colours = policy_colours(["mine", "odd", "hedged"], looks)
    assert colours["mine"] == "#123456" and colours["odd"] == policy_colours(["odd"])["odd"]
    assert colours["hedged"] == KNOWN["hedged"].colour


def test_one_policy_is_the_baseline_and_one_is_a_bound() -> None:
    assert [name for name, look in KNOWN.items() if look.is_baseline] == ["equal_resources"]
    assert [name for name, look in KNOWN.items() if look.is_bound] == ["oracle"]


def _latency(folder: Path) -> Figure:
    found = read_recordings(folder)
    return latency_ccdf(found.queries, looks=found.looks)


def test_figures_of_a_run_draw_a_policy_as_it_says(tmp_path: Path) -> None:
    write_looks(tmp_path, {"mine": Coloured(2, 1)})
    table = pd.DataFrame({"latency_ms": np.arange(1.0, 50.0)})
    for name in ("mine", "parity"):
        table.to_parquet(tmp_path / f"queries-{name}.parquet")
    (axis,) = _latency(tmp_path).axes
    lines = [line for line in axis.lines if "p99.9" in str(line.get_label())]
    drawn = {str(line.get_label()).split()[0]: line.get_color() for line in lines}
    assert drawn == {"mine": "#123456", "parity": KNOWN["parity"].colour}


def test_a_policy_of_a_user_may_have_the_name_of_one_of_this_package(tmp_path: Path) -> None:
    class Mine(Silent):
        """Mine."""

    write_looks(tmp_path, {"oracle": Mine(2, 1), "equal_resources": Mine(2, 1), "parity": Coloured(2, 1)})
    looks = read_looks(tmp_path)
    assert not look_of("oracle", looks).is_bound and look_of("oracle", looks).idea == "Mine."
    assert baseline_among(["oracle", "equal_resources"], looks) is None
    assert policy_colours(["parity"], looks) == {"parity": "#123456"}


def test_runs_of_before_policies_were_put_down_are_drawn_by_their_names(tmp_path: Path) -> None:
    looks = read_looks(tmp_path)
    assert looks == {} and look_of("hedged", looks) == KNOWN["hedged"]
    assert baseline_among(["hedged", "equal_resources"], looks) == "equal_resources"
    assert [name for name in NAMES if look_of(name, looks).is_bound] == ["oracle"]


def test_a_run_of_earlier_that_has_put_down_users_policies_alone_is_drawn_as_before(tmp_path: Path) -> None:
    earlier = {"name": "", "colour": "#123456", "idea": "Hedges in blue.", "machines": "-", "answer": "-"}
    (tmp_path / POLICIES).write_text(json.dumps({"mine": earlier}))
    looks = read_looks(tmp_path)
    assert looks == {"mine": Look(colour="#123456", idea="Hedges in blue.")}
    assert policy_colours(["mine", "adaptive"], looks) == {"mine": "#123456", "adaptive": KNOWN["adaptive"].colour}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"mine": 3}', '{"mine": {"colour": 3}}', '{"mine": {"is_bound": "yes"}}', "[" * 10_000]
)
def test_a_damaged_file_costs_the_colour_and_nothing_else(tmp_path: Path, text: str) -> None:
    (tmp_path / POLICIES).write_text(text)
    assert policy_colours(["mine"], read_looks(tmp_path))
