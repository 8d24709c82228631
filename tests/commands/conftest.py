"""Runs that many tests serve: trained once, and never written to."""

import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from parity_exp.cli import main
from tests.conftest import QUICK, run_dirs

Trained = Callable[..., Path]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trains with some overrides and gives the run directory; the same overrides give the same run."""

    @cache
    def train(*overrides: str) -> Path:
        folder = tmp_path_factory.mktemp("trained")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["parity-exp"])
            assert main(["train", *QUICK, "tracker=none", *overrides]) == 0
        (run_dir,) = run_dirs(folder)
        return run_dir

    return train


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """A trained run that the test may damage."""
    return Path(shutil.copytree(trained(), tmp_path / "copied"))
