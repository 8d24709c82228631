"""``doctor`` finds and tries accelerators that other packages bring."""

from pathlib import Path

from parity_exp.doctor.children import Children
from parity_exp.doctor.examination import look
from parity_exp.doctor.findings import State
from parity_exp.doctor.trials import trial


def test_an_accelerator_of_another_package_is_found(tmp_path: Path) -> None:
    with Children() as children:
        _, devices = look(children, tmp_path, [f"dataset.root={tmp_path}"])
    assert devices == ["pretend:0", "pretend:1"]


def test_an_accelerator_of_another_package_is_tried(tmp_path: Path) -> None:
    with Children() as children:
        found = trial("pretend:1", tmp_path / "one", children)
    assert found.state is State.GOOD, found.line
