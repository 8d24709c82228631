"""Places and memory: whatever is wrong with them is a row with what to do."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from parity_exp.doctor import machine
from parity_exp.doctor.findings import Finding, State


def by_name(found: Any) -> dict[str, Finding]:
    return {one.name: one for one in found}


def refuse_writing(patch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(number, os.strerror(number))

    patch.setattr(tempfile, "TemporaryFile", refuse)


def test_places_that_can_be_written_are_good_and_stay_as_they_were(tmp_path: Path) -> None:
    found = by_name(machine.places(str(tmp_path / "outputs"), str(tmp_path / "data")))
    assert found["run directories"].state is State.GOOD and found["data"].state is State.GOOD
    assert str(tmp_path / "outputs") in found["run directories"].text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "said"), [(errno.EROFS, "Read-only"), (errno.EACCES, "denied"), (errno.ENOSPC, "no space")]
)
def test_a_place_that_cannot_be_written_is_a_row_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    refuse_writing(monkeypatch, number)
    found = by_name(machine.places(str(tmp_path), str(tmp_path)))["run directories"]
    assert found.state is State.MISSING and said in found.text and "outputs=FOLDER" in found.remedy


def test_without_room_for_temporary_files_nothing_can_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_writing(monkeypatch, errno.ENOSPC)
    assert machine.temporary_files().state is State.BROKEN

    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    found = machine.temporary_files()
    assert found.state is State.BROKEN and "TMPDIR" in found.remedy


def test_without_a_home_directory_there_is_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))
    found = by_name(machine.places(".", "."))["home"]
    assert found.state is State.MISSING and "HOME" in found.remedy

    def nobody(_: object = None) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert "no home" in by_name(machine.places(".", "."))["home"].text


def test_little_shared_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LITTLE_SHARED_MEMORY", 2**80)
    assert "--shm-size" in by_name(machine.machine())["shared memory"].remedy


def test_what_the_system_does_not_tell_is_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path / "gone")
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "gone")
    found = by_name(machine.machine())
    assert {found[name].state for name in ("memory", "shared memory")} == {State.MISSING}
