"""Errors of the system that a user can mend are one line with the place and what to do."""

import errno
import multiprocessing
from pathlib import Path

import pytest

from parity_exp.errors import UserError
from parity_exp.experiment.explanations import explanation
from parity_exp.experiment.hydra_record import HydraRecord

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@pytest.mark.parametrize("number", FULL)
def test_a_full_disk_is_named_by_its_file(number: int) -> None:
    line = explanation(OSError(number, "full", "/runs/last.ckpt"))
    assert line is not None and line.startswith("/runs/last.ckpt: full") and "free some space" in line


@pytest.mark.parametrize("number", FULL)
def test_a_full_disk_without_a_file_is_explained_as_well(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HydraRecord, "before", None)
    line = explanation(OSError(number, "full"))
    assert line is not None and "free some space" in line


@pytest.mark.parametrize(
    "text",
    [
        "unable to write to file </torch_12_34_0>: No space left on device (28)",
        "unable to allocate shared memory(shm) for file </torch_1_2>: Cannot allocate memory (12)",
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of "
        "shared memory. Please try to raise your shared memory limit (insufficient shared memory)",
        "Error while creating shared memory segment /dev/shm/nccl-abc (size 9637888)",
    ],
)
def test_a_shared_memory_that_is_too_small_is_named(text: str) -> None:
    line = explanation(RuntimeError(text))
    assert line is not None and line.startswith("/dev/shm") and "--shm-size" in line


def test_a_semaphore_without_room_is_about_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing import synchronize

    class Full:
        SEM_VALUE_MAX = 1

        def __init__(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(synchronize._multiprocessing, "SemLock", Full)
    with pytest.raises(OSError) as raised:
        multiprocessing.get_context("spawn").SimpleQueue()
    line = explanation(raised.value)
    assert line is not None and line.startswith("/dev/shm")


def test_what_is_no_fault_of_the_user_keeps_its_traceback() -> None:
    assert explanation(RuntimeError("a defect")) is None
    assert explanation(OSError(errno.EBADF, "Bad file descriptor")) is None
    assert explanation(UserError("mend this")) == "mend this"


def failing(error: Exception) -> None:
    raise error


def test_a_process_that_trains_explains_itself_to_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from parity_exp.experiment import several_processes
    from parity_exp.process.ranks import _process

    complaint = tmp_path / "complaint"
    place = ("coded", tmp_path, tmp_path, tmp_path)
    full = OSError(errno.ENOSPC, "No space left on device", "/runs/last.ckpt")
    monkeypatch.setattr(several_processes, "phase_of_run", lambda *_: failing(full))
    with pytest.raises(SystemExit):
        _process(several_processes.explained_phase_of_run, place, complaint, 1)
    assert complaint.read_text().startswith("/runs/last.ckpt: No space left")
    monkeypatch.setattr(several_processes, "phase_of_run", lambda *_: failing(RuntimeError("a defect")))
    with pytest.raises(RuntimeError, match="a defect"):
        _process(several_processes.explained_phase_of_run, place, complaint, 1)
