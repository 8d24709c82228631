"""Temporary folders of processes that were killed go at the next start; those of living ones stay."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from parity_exp.process import temporary_folder
from tests.child_signals import heard_by_default

CODE = """
import sys, time
from multiprocessing import util
from parity_exp.process import temporary_folder
folder = temporary_folder.own()
assert temporary_folder.own() == folder
assert util.get_temp_dir().startswith(str(folder))
(folder / 'complaint').write_text('x')
(folder / util.get_temp_dir() / 'listener-x').write_text('x')
print(folder, flush=True)
if sys.argv[1:]:
    time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as name:
        monkeypatch.setenv("TMPDIR", name)
        yield Path(name)


def start(*arguments: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heard_by_default,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_goes_with_its_process(place: Path) -> None:
    process, folder = start()
    assert process.wait(30) == 0
    assert folder.parent == place
    assert not list(place.iterdir())


def test_what_a_killed_process_has_left_goes_at_the_next_start_and_nothing_else(place: Path) -> None:
    living, kept = start("wait")
    killed, left = start("wait")
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)
    (place / "parity-exp-mine").mkdir()
    (place / "pymp-of-others").mkdir()
    assert left.is_dir()
    try:
        process, _ = start()
        assert process.wait(30) == 0
        assert not left.exists()
        assert sorted(path.name for path in place.iterdir()) == sorted(
            [kept.name, f"{kept.name}.lock", "parity-exp-mine", "pymp-of-others"]
        )
    finally:
        living.kill()
        living.wait(30)


def test_a_place_that_is_too_long_for_sockets_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert len(str(temporary_folder.place())) <= temporary_folder.LONGEST_PLACE
    monkeypatch.setattr(temporary_folder, "SHORT_PLACES", ("/nosuch",))
    assert temporary_folder.place() == long
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert temporary_folder.place() == Path("/tmp")
