"""Jobs here draw no figures but for tests marked ``draws``; and a trained run that tests damage."""

import shutil
from pathlib import Path

import pytest

from tests.blank_figures import blank_figures
from tests.conftest import Trained


@pytest.fixture(autouse=True)
def no_drawing_unless_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("draws") is None:
        blank_figures(monkeypatch)


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """A trained run that the test may damage."""
    return Path(shutil.copytree(trained(), tmp_path / "copied"))
