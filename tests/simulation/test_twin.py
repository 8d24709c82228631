"""The past, played again."""

from array import array
from dataclasses import replace

import numpy as np
import pytest

from parity_exp.disturbances import Constant, Shuffle
from parity_exp.load import Poisson
from parity_exp.policies import Adaptive, Autopilot, SharedParity
from parity_exp.policies.estimates.seen import Memory, Seen
from parity_exp.policies.policy import BASE, Batch, Work
from parity_exp.policies.work import State
from parity_exp.simulation.session import simulate
from parity_exp.simulation.twin import LEAD, LONG_LEAD, SeenTimes, TwinInTime, everyones_arrivals, replay


def past(arrivals: int = 1_000, gap_s: float = 0.01, slow: int = -1) -> Seen:
    """Three instances that take 10 ms, one of them 100."""
    begins = [arrival * gap_s for arrival in range(arrivals)]
    on = [arrival % 3 for arrival in range(arrivals)]
    return Seen(
        array("d", (5.0 + begin_s for begin_s in begins)),
        array("l", on),
        array("d", (5.0 + begin_s for begin_s in begins)),
        array("d", (0.1 if instance == slow else 0.01 for instance in on)),
        2.0,
        3,
    )


def work(instance: int, model: str = BASE) -> Work:
    placed = Work(model, "shared", Batch((0,), 0.0))
    placed.instance, placed.state = instance, State.PLACED
    return placed


def test_tasks_take_as_long_as_those_that_their_instance_did() -> None:
    times = SeenTimes(past(slow=1), 0)
    assert {times(work(0), 7.0) for _ in range(20)} == {0.01}
    assert {times(work(1), 7.0) for _ in range(20)} == {0.1}
    assert times(work(0, "parity-0"), 7.0) == pytest.approx(0.02)


def test_what_is_slow_for_a_while_is_slow_then() -> None:
    begins_s = np.arange(0, 100, 0.1)
    durations_s = np.where((begins_s > 40) & (begins_s < 60), 1.0, 0.1)
    seen = Seen(array("d", begins_s), array("l", [0] * 1000), array("d", begins_s), array("d", durations_s), 1.0, 1)
    times = SeenTimes(seen, 0)
    assert {times(work(0), 50.0) for _ in range(20)} == {1.0}
    assert {times(work(0), 20.0) for _ in range(20)} == {0.1}
    assert {times(work(0), 1e9) for _ in range(20)} == {0.1}


def test_an_instance_of_which_nothing_is_known_is_taken_for_one_of_the_others() -> None:
    seen = past()
    seen = Seen(seen.arrivals_s, array("l", [0] * 1000), seen.begins_s, seen.durations_s, 1.0, 2)
    assert SeenTimes(seen, 0)(work(1), 7.0) == 0.01


def test_instances_are_lost_when_they_were_and_queries_sent_again() -> None:
    seen = past(3_000)
    lost = replace(seen, losses=[(instance, 10.0 + instance, 30.0) for instance in range(3)])
    way = {"none": SharedParity(2, 1, sends_parity=False, hedges=False)}
    before, after = replay(seen, way)["none"], replay(lost, way)["none"]
    assert before.percentile_s(99.9) == pytest.approx(0.01)
    assert after.latencies_s[-1] == pytest.approx(30 - 12, rel=0.02), "for 18 seconds there was none"
    assert after.tasks > before.tasks


def test_with_several_frontends_a_long_time_goes_by_before_latencies_count() -> None:
    way = {"none": SharedParity(2, 1, sends_parity=False, hedges=False)}
    alone, others = replay(past(600), way)["none"], replay(replace(past(150), frontends=4), way)["none"]
    assert len(alone.latencies_s) == len(others.latencies_s) == 4 * 600
    assert alone.played - len(alone.latencies_s) == LEAD
    assert others.played - len(others.latencies_s) == LONG_LEAD
    assert others.tasks == pytest.approx(1.0)


def test_others_have_as_many_queries_at_about_the_same_time() -> None:
    on_and_off = array("d", np.concatenate([np.arange(0, 1, 0.01), np.arange(3, 4, 0.01)]))
    seen = replace(past(), arrivals_s=on_and_off, frontends=4)
    arrivals_s, frontend_of = everyones_arrivals(seen)
    assert np.bincount(frontend_of).tolist() == [200] * 4 and np.all(np.diff(arrivals_s) >= 0)
    assert arrivals_s[frontend_of == 0].tolist() == pytest.approx(list(on_and_off))
    busy = (arrivals_s < 1.7) | (arrivals_s > 3)
    assert busy.mean() > 0.8, "bursts and pauses stay what they are"


def test_where_arrivals_of_a_steady_load_are_close_by_chance_the_others_have_theirs_elsewhere() -> None:
    steady = array("d", np.cumsum(np.random.default_rng(0).exponential(0.01, 4_000)))
    arrivals_s, _ = everyones_arrivals(replace(past(), arrivals_s=steady, frontends=4))
    counts = np.histogram(arrivals_s, 80)[0]
    assert counts.var() / counts.mean() < 1.6, "as those of a Poisson process; of four that are alike it would be four"


def test_where_it_is_known_what_the_others_had_that_is_played() -> None:
    seen = replace(past(600), frontends=4, frontend_of=array("i", [0, 1, 2, 3, 3, 3] * 100))
    arrivals_s, frontend_of = everyones_arrivals(seen)
    assert arrivals_s.tolist() == list(seen.arrivals_s) and frontend_of.tolist() == [0, 1, 2, 3, 3, 3] * 100
    replayed = replay(seen, {"none": SharedParity(2, 1, sends_parity=False, hedges=False)})["none"]
    assert len(replayed.latencies_s) == 4 * 600


def test_what_others_do_makes_queries_wait() -> None:
    ways = {"hedging": SharedParity(2, 1, sends_parity=False)}
    crowded = replace(past(1_000, gap_s=0.016), frontends=4)
    alone, among_others = replay(past(1_000, gap_s=0.016), ways)["hedging"], replay(crowded, ways)["hedging"]
    assert among_others.percentile_s(99) > 1.5 * alone.percentile_s(99)
    assert among_others.tasks == pytest.approx(alone.tasks, rel=0.5)


def test_the_same_past_comes_to_the_same_and_policies_are_left_as_they_were() -> None:
    ways = {"hedging": SharedParity(2, 1, sends_parity=False), "parity": SharedParity(2, 1)}
    first, second = replay(past(slow=1), ways), replay(past(slow=1), ways)
    assert first == second
    assert len(first["parity"].latencies_s) == 3_000, "a short past is played several times"
    assert first["parity"].played == pytest.approx(first["parity"].tasks * 3_500), "and its end once before it counts"
    assert first["parity"].percentile_s(50) == pytest.approx(0.01)


def test_a_short_past_goes_on_as_it_was_so_that_what_piles_up_is_seen() -> None:
    overload = past(400, gap_s=0.0032)  # three instances, which would need 3.3 ms for each
    played = replay(overload, {"none": SharedParity(2, 1, sends_parity=False, hedges=False)})["none"]
    assert played.percentile_s(99) > 5 * (400 * (0.00333 - 0.0032)), "it is longer than what 400 leave in a queue"


def test_of_few_arrivals_the_rate_may_have_been_higher_than_seen() -> None:
    nearly_full = {"none": SharedParity(2, 1, sends_parity=False, hedges=False)}
    few, many = (replay(past(arrivals, gap_s=0.00345), nearly_full)["none"] for arrivals in (100, 4_000))
    assert many.percentile_s(99) < 0.02 < few.percentile_s(99)


def test_the_answer_comes_when_a_processor_would_have_had_it() -> None:
    twin = TwinInTime(task_s=1e-3)  # 3,500 tasks take three and a half seconds
    assert twin.answer(0.0) is None
    assert twin.ask(past(), {"a": Adaptive(2, 1)}, 10.0)
    assert twin.answer(13.0) is None
    replayed = twin.answer(60.0)
    assert replayed is not None and set(replayed) == {"a"}
    assert twin.answer(61.0) is None, "once"


class Remembers(SharedParity):
    """Keeps what the twin wants to know."""

    def start(self, actions):  # type: ignore[no-untyped-def]
        super().start(actions)
        PAST.append(Memory(actions.instances))

    def arrived(self, batch, now_s):  # type: ignore[no-untyped-def]
        PAST[-1].arrived(now_s)
        super().arrived(batch, now_s)

    def finished(self, work, now_s):  # type: ignore[no-untyped-def]
        PAST[-1].took(work.instance, work.placed_s, now_s, work.model != BASE)
        super().finished(work, now_s)


PAST: list[Memory] = []


def test_a_rate_that_is_known_from_few_arrivals_is_taken_for_higher() -> None:
    nearly_full = {"none": SharedParity(2, 1, sends_parity=False, hedges=False)}
    known = past(4_000, gap_s=0.00345)
    well, hardly = (replay(seen, nearly_full)["none"] for seen in (known, replace(known, sure=100)))
    assert well.percentile_s(99) < 0.02 < hardly.percentile_s(99)


@pytest.mark.slow
def test_what_another_policy_would_have_come_to_is_about_foretold() -> None:
    ways = {
        "parity": SharedParity(2, 1, load_limit=10.0),
        "copies": Adaptive(2, 1, copy_limit=10.0, load_limit=10.0),
        "late": SharedParity(2, 1, sends_parity=False, percentile=98.0),
    }
    result = simulate(
        ways | {"watcher": Remembers(2, 1)}, Poisson(queries=8_000, warmup=200, utilisation=0.5),
        straggler=Shuffle(), instances=12, k=2, service_time_ms=25, service_time=Constant(1.0), processes=1,
        show_progress=False,
    )  # fmt: skip
    seen = PAST[-1].seen()
    for way, one in replay(seen, ways).items():
        queries = result.recorded[way].queries
        really_ms = np.percentile(queries["latency_ms"][queries["scheduled_s"] >= seen.arrivals_s[0]], 99)
        assert one.percentile_s(99) * 1e3 == pytest.approx(really_ms, rel=0.15), way
        assert one.tasks == pytest.approx(result.metrics[f"simulate/{way}/tasks_per_query"], rel=0.05), way


@pytest.mark.slow
def test_autopilot_does_what_is_best_where_thresholds_do_not() -> None:
    ways = {"adaptive": Adaptive(2, 1), "autopilot": Autopilot(2, 1)}
    result = simulate(
        ways, Poisson(queries=12_000, warmup=4_000, utilisation=0.8), straggler=Shuffle(mean_extra=0.4), instances=24,
        k=2, service_time_ms=25, service_time=Constant(1.0), processes=1, show_progress=False,
    )  # fmt: skip
    tail = {way: result.metrics[f"simulate/{way}/latency_ms/p99.9"] for way in ways}
    assert tail["autopilot"] < 0.85 * tail["adaptive"]
