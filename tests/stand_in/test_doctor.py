"""``doctor`` finds and tries accelerators that other packages bring."""

from pathlib import Path

import pytest

from parity_exp.devices.backends import MODULES
from parity_exp.doctor.children import Children
from parity_exp.doctor.examination import look
from parity_exp.doctor.findings import State
from parity_exp.doctor.trials import trial


@pytest.mark.slow
def test_an_accelerator_of_another_package_is_found(tmp_path: Path) -> None:
    with Children() as children:
        _, devices = look(children, [f"dataset.root={tmp_path}"])
    assert devices == ["pretend:0", "pretend:1"]


@pytest.mark.slow
def test_an_accelerator_of_another_package_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODULES, "tests.stand_in.two_devices,tests.stand_in.accelerator")
    with Children() as children:
        found = trial("pretend:0", tmp_path / "one", children)
    assert found.state is State.GOOD, found.line
