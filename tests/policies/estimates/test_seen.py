"""What a policy keeps of what it has seen."""

import numpy as np
import pytest

from parity_exp.load import Bursts, Steps
from parity_exp.policies.estimates import seen
from parity_exp.policies.estimates.seen import ARRIVED, LEAST, LOST, MOST, RHYTHM, SPAN_S, Memory
from parity_exp.policies.queues.board import Told


def filled(arrivals: int, gap_s: float, start_s: float = 0.0, memory: Memory | None = None) -> Memory:
    memory = memory or Memory(3)
    for arrival in range(arrivals):
        at_s = start_s + arrival * gap_s
        memory.arrived(at_s)
        memory.took(arrival % 3, at_s, at_s + 0.01, parity=arrival % 2 == 1)
    return memory


@pytest.mark.parametrize(
    ("gap_s", "kept"), [(1.0, LEAST), (SPAN_S / 4_000, 4_001), (SPAN_S / 100_000, MOST)], ids=["rare", "usual", "often"]
)
def test_the_last_seconds_are_kept_but_not_too_few_arrivals_nor_too_many(gap_s: float, kept: int) -> None:
    past = filled(20_000, gap_s).seen()
    assert len(past.arrivals_s) == pytest.approx(kept, abs=1)
    assert past.arrivals_s[-1] == pytest.approx(19_999 * gap_s)
    assert min(past.begins_s) >= past.arrivals_s[0]
    lately = 0.01 / gap_s  # has begun since a task's duration
    assert len(past.begins_s) == pytest.approx((kept - lately) / 2, abs=2), "queries' own work alone"


def test_memory_is_bounded_though_nobody_asks() -> None:
    memory = filled(5 * MOST, 1e-5)
    assert len(memory.arrivals_s) < 2 * MOST and len(memory.over) < 2 * MOST + 3


@pytest.mark.parametrize(("factor", "noticed"), [(1.0, False), (1.15, False), (2.0, True), (0.5, True)])
def test_a_change_of_the_rate_is_noticed_and_told_once(factor: float, noticed: bool) -> None:
    memory = filled(600, 0.01)
    filled(200, 0.01 * factor, 6.0, memory)
    assert memory.changed() is noticed
    assert (memory.before > 0) is noticed
    assert memory.latest_gap_s == pytest.approx(0.01 * factor if noticed else 0.0, rel=0.05)
    assert not memory.changed()


def test_a_great_change_is_noticed_in_few_arrivals() -> None:
    memory, arrivals = filled(600, 0.01), 0
    while not memory.changed():
        memory.arrived(6.0 + arrivals * 0.005)
        arrivals += 1
    assert arrivals < 60


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_new_rate_is_that_since_it_changed(factor: float) -> None:
    random = np.random.default_rng(3)
    memory, now_s = Memory(3), 0.0
    for gap_s in random.exponential(0.01, 2_000):
        memory.arrived(now_s := now_s + gap_s)
    change_s = now_s
    for arrival, gap_s in enumerate(random.exponential(0.01 * factor, 400), 1):
        memory.arrived(now_s := now_s + gap_s)
        if arrival % 20 == 0 and memory.changed():
            break
    assert memory.arrivals_s[memory.before] == pytest.approx(change_s, abs=0.15)
    assert memory.latest_gap_s == pytest.approx(0.01 * factor, rel=0.25)


def test_a_new_rate_is_not_told_from_what_came_at_once() -> None:
    """As in traces whose clock knows whole seconds alone."""
    memory, changed = Memory(3), []
    for second in range(1, 20):
        for _ in range(40 if second < 16 else 120):
            memory.arrived(float(second))
        changed.append(memory.changed())
    assert any(changed)
    assert 1 / 240 < memory.latest_gap_s < 1 / 60


def test_what_is_left_of_before_a_change_may_have_come_at_once() -> None:
    """As in traces whose clock knows whole seconds alone, once all but the last of these seconds has been forgotten."""
    memory = Memory(3)
    for second, count in ((1, 60), (2, 40), (3, 40)):
        for _ in range(count):
            memory.arrived(float(second))
    memory.before = 30
    past = memory.seen()
    assert list(past.arrivals_s) == [1.0] * 60 + [2.0] * 40 + [3.0] * 40 and past.sure == 110


def test_what_was_before_a_change_is_told_as_if_it_had_been_at_the_new_rate() -> None:
    memory = filled(600, 0.01)
    memory.gave_up(2, 5.0)
    filled(200, 0.005, 6.0, memory)
    assert memory.changed()
    past = memory.seen()
    assert len(past.arrivals_s) == 800 and past.sure <= 200
    assert np.diff(past.arrivals_s) == pytest.approx(0.005, rel=0.05)
    assert past.begins_s[0] == past.arrivals_s[0] and set(np.round(past.durations_s, 3)) == {0.01}
    (lost,) = past.losses
    assert lost[1] == pytest.approx(6.0 - 100 * 0.005, rel=0.01)
    filled(LEAST, 0.005, 7.0, memory)
    past = memory.seen()
    assert len(past.arrivals_s) == LEAST and past.sure == LEAST, "it is forgotten when there is enough since then"


def test_just_after_a_change_little_is_told_so_that_it_is_quickly_played() -> None:
    memory = filled(5_000, 0.01)
    filled(200, 0.005, 50.0, memory)
    assert memory.changed() and len(memory.seen().arrivals_s) == seen.AT_FIRST


def test_what_began_so_lately_that_only_quick_work_is_over_does_not_count() -> None:
    memory = Memory(50)
    chance = np.random.default_rng(0)
    durations_s = chance.exponential(0.1, 400)
    for arrival, duration_s in enumerate(durations_s):
        at_s = arrival * 0.002
        memory.arrived(at_s)
        if at_s + duration_s < 0.8:
            memory.took(arrival % 50, at_s, at_s + duration_s, parity=False)
    assert np.mean([end[1] for end in memory.over]) < 0.95 * durations_s.mean()
    past = memory.seen()
    first = durations_s[: len(past.durations_s)]
    assert len(first) > 150 and np.mean(past.durations_s) == pytest.approx(first.mean(), rel=0.03)


def test_how_long_a_parity_query_takes_beside_a_query_is_known_once_there_are_some() -> None:
    memory = Memory(1)
    assert memory.seen().parity_ratio == 1.0
    for at_s in range(2 * seen.ENOUGH):
        memory.arrived(float(at_s))
        memory.took(0, at_s, at_s + 0.1, parity=False)
        memory.took(0, at_s, at_s + 0.15, parity=True)
    assert memory.seen().parity_ratio == pytest.approx(1.5)


def test_an_instance_that_was_lost_is_back_when_it_next_begins_something() -> None:
    memory = filled(30, 1.0)
    memory.gave_up(2, 5.25)
    memory.gave_up(2, 5.25)  # with two pieces of work
    memory.gave_up(1, 29.5)
    assert memory.seen().losses == [(2, 5.25, 8.0), (1, 29.5, 29.5)], "nothing is known of the second one's return"


def test_losses_are_forgotten_with_the_rest() -> None:
    memory = filled(2 * MOST, 1.0)
    memory.gave_up(0, 1.0)
    memory.gave_up(0, 2.0 * MOST - 10)
    assert [lost_s for _, lost_s, _ in memory.seen().losses] == [2.0 * MOST - 10]


@pytest.mark.parametrize(
    ("pause_s", "often", "changes"),
    [(1.0, 1_000, RHYTHM), (20.0, 500, RHYTHM), (5.0, 28_000, 8), (2.0, 8_000, 8)],
    ids=["bursts", "bursts of a small cluster", "changes", "changes of a large cluster"],
)
def test_a_load_in_bursts_does_not_change_with_each(pause_s: float, often: int, changes: int) -> None:
    memory, now_s, told = Memory(3), 0.0, 0
    for phase in range(10):
        arrivals = often if phase % 2 else often // 4
        for _ in range(arrivals):
            now_s += pause_s / arrivals
            memory.arrived(now_s)
            told += memory.changed()
    assert told == changes if changes == RHYTHM else told >= changes


@pytest.mark.parametrize("seed", range(4))
def test_bursts_that_come_by_chance_are_no_changes_but_a_step_between_is_one(seed: int) -> None:
    bursts_s = Bursts(12_000, 0).arrivals(300.0, np.random.default_rng(seed))
    memory, told = Memory(3), 0
    for arrival, at_s in enumerate(bursts_s, 1):
        memory.arrived(at_s)
        if arrival % 20 == 0:
            told += memory.changed()
    assert told <= RHYTHM
    assert len(memory.changes) <= RHYTHM
    steps_s = Steps([[10.0, 100.0], [10.0, 200.0]], 12_000).arrivals(150.0, np.random.default_rng(seed))
    memory, changes_s = Memory(3), []
    for arrival, at_s in enumerate(steps_s[steps_s < 40], 1):
        memory.arrived(at_s)
        if arrival % 20 == 0 and memory.changed():
            changes_s.append(memory.arrivals_s[memory.before])
    assert changes_s[:2] == pytest.approx([10.0, 20.0], abs=1.0)


def test_a_pause_is_no_change_of_the_rate() -> None:
    random = np.random.default_rng(1)
    memory, now_s = Memory(3), 0.0
    for arrival, gap_s in enumerate(random.exponential(0.005, 3_000), 1):
        now_s += gap_s + (1.0 if arrival % 300 == 0 else 0.0)
        memory.arrived(now_s)
        if arrival % 20 == 0:
            assert not memory.changed()


def test_of_several_frontends_each_keeps_its_share() -> None:
    often, rarely = filled(20_000, 1e-5, memory=Memory(3, 4)), filled(20_000, 1.0, memory=Memory(3, 4))
    assert len(often.seen().arrivals_s) == MOST // 4
    assert len(rarely.seen().arrivals_s) == LEAST // 4


def to_nobody(numbers: Told) -> None:
    pass


def hearing(seed: int = 0) -> tuple[Memory, list[Memory]]:
    """What was seen by one frontend that has all arrivals, and by three who tell each other of theirs."""
    random = np.random.default_rng(seed)
    told: list[tuple[int, Told]] = []

    def telling(frontend: int) -> Memory:
        return Memory(3, 3, frontend, tell=lambda numbers: told.append((frontend, numbers)))

    alone, several = Memory(3), list(map(telling, range(3)))
    now_s = 0.0
    for arrival in range(1, 3_001):
        now_s += random.exponential(0.01 if arrival < 2_000 else 0.005)
        mine, took_s, parity = int(random.integers(3)), float(random.exponential(0.02)), arrival % 5 == 0
        of_work = arrival % 3, now_s - took_s, now_s
        for memory in (alone, several[mine]):
            memory.arrived(now_s)
            memory.took(*of_work, parity)
        if arrival % 20 == 0:
            for frontend, memory in enumerate(several):
                memory.heard(one for one in told if one[0] != frontend)
            told.clear()
            changes = {memory.changed() for memory in (alone, *several)}
            assert len(changes) == 1, "a change is noticed by all at the same time"
    return alone, several


def test_frontends_that_tell_each_other_know_what_one_that_sees_everything_would() -> None:
    alone, several = hearing()
    expected = alone.seen()
    assert alone.before > 0
    for memory in several:
        past = memory.seen()
        assert past.arrivals_s == expected.arrivals_s and past.sure == expected.sure
        assert sorted(zip(past.begins_s, past.instances, past.durations_s, strict=True)) == sorted(
            zip(expected.begins_s, expected.instances, expected.durations_s, strict=True)
        )
        assert past.parity_ratio == expected.parity_ratio
        assert past.stands_for == 1 and past.frontends == 3
        assert past.frontend_of == several[0].seen().frontend_of
        assert past.frontend_of is not None and len(past.frontend_of) == len(past.arrivals_s)
        assert set(past.frontend_of) == {0, 1, 2}


def test_what_was_told_late_is_put_where_it_belongs() -> None:
    memory = Memory(3, 2, tell=to_nobody)
    for at_s in (1.0, 2.0, 4.0):
        memory.arrived(at_s)
    memory.before = 2
    memory.heard([(1, (ARRIVED, -1.0, 3.0, 3.0)), (1, (ARRIVED, -1.0, 5.0, 5.0))])
    assert list(memory.arrivals_s) == [1.0, 2.0, 3.0, 4.0, 5.0] and list(memory.frontend_of) == [0, 0, 1, 0, 1]
    assert memory.arrivals_s[memory.before] == 4.0, "the first one since the change is still that"


def test_an_instance_that_two_frontends_have_lost_is_gone_once() -> None:
    memory = filled(300, 0.01, memory=Memory(3, 2, tell=to_nobody))
    memory.gave_up(1, 1.001)
    memory.heard([(1, (LOST, 1.0, 0.9, 1.002)), (1, (LOST, 2.0, 0.9, 1.002))])
    assert [(instance, lost_s) for instance, lost_s, _ in memory.seen().losses] == [(1, 1.001), (2, 1.002)]
