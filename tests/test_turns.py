"""Who wants to be alone is alone, and need not wait for ever."""

import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path

from tests.turns import Turns


def taken(folder: Path, alone: bool, ends: Connection) -> None:
    """Say when the turn has come, and keep it until told."""
    with Turns(folder).turn(alone):
        ends.send("has it")
        ends.recv()
    ends.send("is done")
    ends.recv()


class Other:
    """A process that wants a turn."""

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self._ends, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=taken, args=(folder, alone, theirs), daemon=True)
        self._process.start()

    def has_it(self, timeout_s: float) -> bool:
        return self._ends.poll(timeout_s) and self._ends.recv() == "has it"

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._ends.send("end")
        assert self._ends.recv() == "is done"
        self._ends.send("go")
        self._process.join()


def test_several_have_a_turn_at_a_time_unless_one_wants_to_be_alone(tmp_path: Path) -> None:
    one, two = Other(tmp_path, alone=False), Other(tmp_path, alone=False)
    assert one.has_it(10) and two.has_it(10)
    single = Other(tmp_path, alone=True)
    assert not single.has_it(0.2)
    late = Other(tmp_path, alone=False)
    assert not late.has_it(0.2), "who came after it waits, although others still have their turn"
    one.end()
    assert not single.has_it(0.1)
    two.end()
    assert single.has_it(10) and not late.has_it(0.2)
    single.end()
    assert late.has_it(10)
    late.end()


def test_a_turn_ends_where_its_owner_dies(tmp_path: Path) -> None:
    dies = Other(tmp_path, alone=True)
    assert dies.has_it(10)
    dies.kill()
    began_s = time.monotonic()
    with Turns(tmp_path).turn(alone=True):
        assert time.monotonic() - began_s < 10
