"""The wheel works from any folder, without the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import QUICK

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_the_wheel_holds_the_whole_of_conf_and_the_licence(installed: Path) -> None:
    ours = {path.relative_to(REPOSITORY / "conf") for path in (REPOSITORY / "conf").rglob("*.yaml")}
    theirs = {path.relative_to(installed / "parity_exp" / "conf") for path in installed.rglob("conf/**/*.yaml")}
    assert ours == theirs and len(ours) > 40
    assert list(installed.glob("*.dist-info/licenses/LICENSE"))
    assert not list(installed.glob("tests"))


@pytest.mark.slow
def test_a_job_runs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    script = (
        "import sys, parity_exp; from parity_exp.experiment.config_folder import config_folder;"
        "from parity_exp.cli import main;"
        f"assert str(config_folder()).startswith({str(installed)!r}), config_folder();"
        "sys.exit(main(sys.argv[1:]))"
    )
    job = subprocess.run(
        [sys.executable, "-c", script, "train", "encoder=concat", "k=4", *QUICK, "tracker=none"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert job.returncode == 0, job.stderr
    assert len(list(tmp_path.rglob("metrics.json"))) == 1
