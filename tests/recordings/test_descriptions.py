"""What components say of themselves, kept with a run."""

from pathlib import Path

import pytest

from parity_exp.coding import AdditionEncoder, Encoder
from parity_exp.recordings.descriptions import (
    class_of,
    components_in,
    description,
    description_of_a_coder,
    first_line,
    full_class_of,
    read_descriptions,
    settings_of,
    write_descriptions,
)
from parity_exp.recordings.run_directory import RunDirectory

CONFIG = {
    "k": 2,
    "encoder": {"_target_": "mine.MyEncoder", "_partial_": True, "width": 3, "code": {"_target_": "mine.Inner"}},
    "redundancy": {"one": {"_target_": "parity_exp.policies.Hedged", "copies": 1}, "two": {"_target_": "mine.Two"}},
    "pool": {"instances": 2},
}


class Documented(Encoder):
    """
    Adds what ``it`` likes.

    At length.
    """

    colour = "#123456"


class Undocumented(Documented):
    colour = 3  # type: ignore[assignment]


def a_function() -> None:
    """Makes something."""


def test_every_component_of_a_config_has_its_place() -> None:
    assert dict(components_in(CONFIG)) == {
        "encoder": "mine.MyEncoder",
        "encoder.code": "mine.Inner",
        "redundancy.one": "parity_exp.policies.Hedged",
        "redundancy.two": "mine.Two",
    }


def test_a_node_tells_its_class_and_settings() -> None:
    node = CONFIG["encoder"]
    assert isinstance(node, dict)
    assert class_of(node) == "MyEncoder" and full_class_of(node) == "mine.MyEncoder"
    assert settings_of(node) == {"width": 3, "code": {"_target_": "mine.Inner"}}
    assert full_class_of({"_target_": "parity_exp.policies.Hedged"}) == "Hedged"


def test_a_class_is_described_by_its_own_docstring_and_what_it_declares() -> None:
    assert description(Documented) == {"is": "Adds what it likes.", "colour": "#123456"}
    assert first_line(Undocumented) == "" and description(Undocumented) == {}
    assert description(a_function) == {"is": "Makes something."}


def test_descriptions_are_kept_with_a_run(tmp_path: Path) -> None:
    write_descriptions(tmp_path, {"encoder": Documented, "decoder": Undocumented, "redundancy.mine": a_function})
    kept = {"encoder": description(Documented), "redundancy.mine": {"is": "Makes something."}}
    assert read_descriptions(tmp_path) == kept


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"encoder": 3}', "[" * 10_000])
def test_runs_without_them_and_damaged_ones_have_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        RunDirectory(tmp_path).components.write_text(text)
    assert read_descriptions(tmp_path) == {}


def test_coders_of_this_package_are_known_to_runs_that_kept_nothing() -> None:
    said = description_of_a_coder({"_target_": "parity_exp.coding.AdditionEncoder"})
    assert said["colour"] == AdditionEncoder.colour
    assert description_of_a_coder({"_target_": f"{__name__}.Documented"}) == {}
    assert description_of_a_coder({"_target_": "parity_exp.coding.NoSuch"}) == {} == description_of_a_coder(None)
