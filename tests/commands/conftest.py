"""A trained run that tests damage."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Trained


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """A trained run that the test may damage."""
    return Path(shutil.copytree(trained(), tmp_path / "copied"))
