"""Instances that a trace says are not there, whatever their processes do."""

from math import inf

from parity_exp.disturbances.trace import GONE, KILL, Disturbance
from parity_exp.serving.absences import Absences


def gone(instance: int, start_s: float, end_s: float) -> Disturbance:
    return Disturbance(GONE, instance, start_s, end_s)


def test_who_comes_up_in_an_absence_is_held_back_until_it_is_over() -> None:
    absences = Absences([gone(1, 2, 5), Disturbance(KILL, 0, 2, 2), gone(9, 0, 9)], 4)
    assert absences.from_the_beginning() == [] and absences.next_s == inf
    absences.died(1)
    assert absences.holds_back(1, 2.1)
    assert not absences.holds_back(0, 2.1)
    assert absences.next_s == 5
    assert absences.over(4.9) == []
    assert absences.over(5.0) == [1]
    assert absences.next_s == inf


def test_who_is_not_there_from_the_beginning_waits_with_its_process() -> None:
    absences = Absences([gone(3, 0, 4)], 4)
    assert absences.from_the_beginning() == [3]
    assert absences.over(4.0) == [3]


def test_who_has_no_process_at_the_end_of_its_absence_is_used_when_it_has() -> None:
    absences = Absences([gone(3, 0, 4)], 4)
    absences.from_the_beginning()
    absences.died(3)
    assert absences.over(4.0) == []
    assert not absences.holds_back(3, 4.1)


def test_absences_one_after_the_other_are_one() -> None:
    absences = Absences([gone(0, 1, 3), gone(0, 2, 6)], 1)
    assert absences.holds_back(0, 2.5)
    assert absences.over(3.0) == []
    assert absences.over(6.0) == [0]
