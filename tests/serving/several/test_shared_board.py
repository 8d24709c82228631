"""The board that frontends in processes of their own have in common."""

import os
from math import isnan, nan

import pytest

from parity_exp.policies.queues import Board
from parity_exp.policies.queues.board import TOLD, Told
from parity_exp.serving.several.shared_board import MOST_NUMBERS, SharedBoard


def test_a_note_is_read_by_the_other_processes_as_it_was_left_last() -> None:
    board = SharedBoard(4, 3)
    assert board.notes() == []
    child = os.fork()
    if not child:
        try:
            board.of(1).leave_note(1, [1.0, 2.0, 3.0])
            board.leave_note(1, [4.0, 5.0])
            board.of(2).leave_note(2, [nan])
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    second, third = board.notes()
    assert list(second) == [4.0, 5.0] and len(third) == 1 and isnan(third[0])


def test_what_a_frontend_that_is_gone_has_left_is_not_read() -> None:
    board = SharedBoard(4, 2)
    for frontend in range(2):
        board.leave_note(frontend, [float(frontend)])
    board.forget(0, heir=1)
    assert board.notes() == [[1.0]]


def test_neither_half_a_note_is_read_nor_one_that_is_too_long() -> None:
    board = SharedBoard(4, 2)
    board.leave_note(0, [0.0] * (MOST_NUMBERS + 1))
    assert board.notes() == []
    board.leave_note(0, [7.0] * MOST_NUMBERS)
    board._notes_written[0] += 1
    assert board.notes() == [], "it is being written"
    board._notes_written[0] += 1
    assert board.notes() == [[7.0] * MOST_NUMBERS]


def told(number: int) -> Told:
    return float(number), 1.0, 2.0, 3.0


def test_what_a_frontend_tells_is_heard_once_by_each_other_process_in_that_order() -> None:
    board = SharedBoard(4, 2)
    for number in range(3):
        child = os.fork()
        if not child:
            try:
                board.of(1).tell(1, told(number))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    assert board.told(1, 0) == ([told(0), told(1), told(2)], 3)
    assert board.told(1, 2) == ([told(2)], 3)
    assert board.told(1, 3) == ([], 3)
    assert board.told(0, 0) == ([], 0)


@pytest.mark.parametrize("kind", [Board, SharedBoard])
def test_who_asks_too_late_hears_the_latest(kind: type[Board]) -> None:
    board = kind(4, 1)
    for number in range(TOLD + 100):
        board.tell(0, told(number))
    heard, so_far = board.told(0, 50)
    assert so_far == TOLD + 100
    # In memory that is shared the oldest may be being overwritten.
    assert heard[-1] == told(TOLD + 99) and len(heard) in (TOLD - 1, TOLD)
    assert heard == [told(number) for number in range(TOLD + 100 - len(heard), TOLD + 100)]
