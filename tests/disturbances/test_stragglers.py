"""Straggler models do what their formulas say, from a seed alone."""

import itertools
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose as compose_config
from hydra import initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from parity_exp.checks import SettingError
from parity_exp.disturbances import (
    Constant,
    Contention,
    Corrupt,
    Crash,
    Degraded,
    Distribution,
    Empirical,
    Exponential,
    LogNormal,
    Multitenancy,
    Neighbour,
    Pareto,
    Replay,
    Shuffle,
    Slowdown,
    Straggler,
    all_helpers,
    compose,
)
from parity_exp.disturbances.helpers import Burner, TenantService
from parity_exp.disturbances.shuffle import crowded
from parity_exp.disturbances.slots import slot_seconds
from parity_exp.disturbances.trace import Disturbance, timelines, write_trace
from parity_exp.errors import UserError

SERVICE_S = 0.02
CONF = Path(__file__).parents[2] / "conf"

MODELS: dict[str, Straggler] = {
    "slowdown": Slowdown(0.05, Exponential(6.0)),
    "shuffle": Shuffle(transfers=2),
    "degraded": Degraded(),
    "corrupt": Corrupt("stuck", count=2, probability=0.3),
    "crash": Crash(rate_per_s=1.0),
    "contention": Contention(Burner(), duty=0.5),
    "multitenancy": Multitenancy(TenantService(), fraction=0.3),
    "neighbour": Neighbour(1.5, fraction=0.3, duty=0.5),
}


def trace(straggler: Straggler, instances: int = 4, duration_s: float = 100, seed: int = 0) -> list[Disturbance]:
    return straggler.trace(instances, duration_s, np.random.default_rng(seed), SERVICE_S)


class TestAll:
    def test_a_trace_depends_on_the_seed_alone(self) -> None:
        one, same, other = (compose(MODELS, 6, 50, seed, SERVICE_S) for seed in (3, 3, 4))
        assert one == same != other

    @pytest.mark.parametrize("added", MODELS)
    def test_adding_a_straggler_leaves_the_rows_of_the_others(self, added: str) -> None:
        others = {name: straggler for name, straggler in MODELS.items() if name != added}
        both, without = (compose(models, 6, 50, 3, SERVICE_S) for models in (MODELS, others))
        alone = compose({added: MODELS[added]}, 6, 50, 3, SERVICE_S)
        assert set(both) == set(without) | set(alone)
        assert len(both) == len(without) + len(alone)

    @pytest.mark.parametrize("name", MODELS)
    def test_rows_are_sorted_valid_and_begin_within_the_trace(self, name: str, tmp_path: Path) -> None:
        rows = compose({name: MODELS[name]}, 6, 50, 3, SERVICE_S)
        assert rows
        assert rows == sorted(rows, key=lambda row: row.start_s)
        assert all(0 <= row.start_s <= row.end_s and 0 <= row.instance < 6 for row in rows)
        assert name == "shuffle" or all(row.start_s <= 50 for row in rows)

    def test_a_written_trace_replays_exactly(self, tmp_path: Path) -> None:
        rows = compose(MODELS, 6, 50, 3, SERVICE_S)
        write_trace(tmp_path / "trace.csv", rows)
        replay = Replay(str(tmp_path / "trace.csv"), Burner(), TenantService())
        assert compose({"trace": replay}, 2, 1, 99, 1.0) == rows

    def test_no_straggler_is_an_empty_trace(self) -> None:
        assert compose({}, 6, 50, 3, SERVICE_S) == []


class TestSlowdown:
    @pytest.mark.parametrize(
        ("distribution", "mean", "median"),
        [
            (Constant(3.0), 3.0, 3.0),
            (Exponential(3.0), 3.0, 3.0 * math.log(2)),
            (LogNormal(3.0, 0.5), 3.0 * math.exp(0.125), 3.0),
            (Pareto(2.0, 3.0), 3.0, 2.0 * 2 ** (1 / 3)),
        ],
    )
    def test_lateness_has_the_asked_probability_and_distribution(
        self, distribution: Distribution, mean: float, median: float
    ) -> None:
        rows = trace(Slowdown(0.1, distribution), instances=4, duration_s=100)
        slots = 4 * 100 / (SERVICE_S / 4)
        assert len(rows) / slots == pytest.approx(0.1, rel=0.05)
        extra = np.array([row.extra_ms for row in rows]) / (SERVICE_S * 1000)
        assert extra.mean() == pytest.approx(mean, rel=0.05)
        assert np.median(extra) == pytest.approx(median, rel=0.05)

    def test_tasks_at_any_times_are_late_with_the_probability(self) -> None:
        (timeline,) = timelines(trace(Slowdown(0.2, Constant(1.0)), instances=1), 1)
        begins_s = np.random.default_rng(1).uniform(0, 100, 20_000)
        late = np.array([timeline.at(begin_s)[1] > 0 for begin_s in begins_s])
        assert late.mean() == pytest.approx(0.2, abs=0.01)

    def test_consecutive_tasks_are_late_independently(self) -> None:
        (timeline,) = timelines(trace(Slowdown(0.2, Constant(1.0)), instances=1), 1)
        late = np.array([timeline.at(task * SERVICE_S)[1] > 0 for task in range(4_900)])
        assert (late[1:] & late[:-1]).mean() == pytest.approx(0.04, abs=0.012)

    @pytest.mark.parametrize(("probability", "expected"), [(0.0, 0), (1.0, 400)])
    def test_extreme_probabilities(self, probability: float, expected: int) -> None:
        rows = trace(Slowdown(probability, Constant(1), unit_ms=7, slot_ms=10), instances=2, duration_s=2)
        assert len(rows) == expected
        assert all(row.extra_ms == 7 for row in rows)

    def test_a_longer_trace_or_more_instances_keep_what_was_there(self) -> None:
        short = trace(MODELS["slowdown"], instances=2, duration_s=10)
        long = trace(MODELS["slowdown"], instances=3, duration_s=20)
        assert set(short) <= set(long)

    def test_a_slot_is_a_quarter_of_the_service_time_but_not_tiny(self) -> None:
        assert slot_seconds(None, 0.02) == 0.005
        assert slot_seconds(None, 0.0001) == 0.001
        assert slot_seconds(3, 0.02) == 0.003


class TestShuffle:
    def test_each_transfer_joins_two_instances_and_the_next_follows_at_once(self) -> None:
        transfers = Shuffle(transfers=3).schedule(6, 1000, np.random.default_rng(0))
        assert all(one != other for one, other in (transfer.between for transfer in transfers))
        lengths_s = np.array([transfer.end_s - transfer.start_s for transfer in transfers])
        assert lengths_s.min() >= 128 / 125 and lengths_s.max() <= 256 / 125
        assert lengths_s.mean() == pytest.approx(192 / 125, rel=0.02)
        edges = sorted({edge for one in transfers for edge in (one.start_s, one.end_s) if edge < 1000})
        for since_s, until_s in itertools.pairwise(edges):
            middle_s = (since_s + until_s) / 2
            assert sum(one.start_s <= middle_s < one.end_s for one in transfers) == 3
        pairs = {tuple(sorted(transfer.between)) for transfer in transfers}
        assert len(pairs) == 15  # all there are

    def test_a_transfer_slows_exactly_two_instances_at_a_time(self) -> None:
        lines = timelines(trace(Shuffle(probability=1.0), instances=6), 6)
        for time_s in np.random.default_rng(1).uniform(0, 100, 500):
            assert sum(line.at(time_s)[1] > 0 for line in lines) == 2

    def test_lateness_grows_with_the_transfers_of_the_instance(self) -> None:
        shuffle = Shuffle(transfers=4, probability=0.1)
        # As the model itself draws them.
        schedule = shuffle.schedule(4, 400, np.random.default_rng(0).spawn(2)[0])
        spans = {instance: list(crowded(schedule, instance)) for instance in range(4)}
        late_s: dict[int, float] = defaultdict(float)
        whole_s: dict[int, float] = defaultdict(float)
        extra: dict[int, list[float]] = defaultdict(list)
        for start_s, end_s, count in itertools.chain(*spans.values()):
            whole_s[count] += end_s - start_s
        for row in trace(shuffle, instances=4, duration_s=400):
            middle_s = (row.start_s + row.end_s) / 2
            (count,) = [c for start_s, end_s, c in spans[row.instance] if start_s <= middle_s < end_s]
            late_s[count] += row.end_s - row.start_s
            extra[count].append(row.extra_ms)
        assert set(whole_s) == {1, 2, 3, 4}
        for count in (1, 2, 3):
            assert late_s[count] / whole_s[count] == pytest.approx(0.1, rel=0.1)
            assert np.mean(extra[count]) == pytest.approx(count * 6 * SERVICE_S * 1000, rel=0.1)

    def test_the_paper_cluster_is_late_by_150_ms_a_transfer(self) -> None:
        rows = Shuffle(transfers=1).trace(18, 2000, np.random.default_rng(0), 0.025)
        assert np.mean([row.extra_ms for row in rows]) == pytest.approx(150, rel=0.03)

    def test_another_transfer_leaves_the_others(self) -> None:
        one, two = (Shuffle(transfers=n).schedule(6, 50, np.random.default_rng(0)) for n in (1, 2))
        assert set(map(repr, one)) <= set(map(repr, two))

    @pytest.mark.parametrize(("instances", "transfers"), [(2, 1), (8, 1), (18, 3), (36, 6), (1500, 250)])
    def test_transfers_grow_with_the_cluster_unless_their_number_is_given(self, instances: int, transfers: int) -> None:
        schedule = Shuffle().schedule(instances, 10, np.random.default_rng(0))
        assert sum(one.start_s <= 5 < one.end_s for one in schedule) == transfers

    def test_one_instance_is_refused(self) -> None:
        with pytest.raises(SettingError, match=r"raise instances"):
            trace(Shuffle(), instances=1)


class TestDegraded:
    def test_one_instance_is_slow_to_the_end(self) -> None:
        assert trace(Degraded(factor=3, instance=2, start_s=5)) == [Disturbance("slow", 2, 5, 100, 3, 0)]

    def test_which_is_random(self) -> None:
        assert {trace(Degraded(), seed=seed)[0].instance for seed in range(40)} == {0, 1, 2, 3}

    def test_several_are_different_ones_and_the_first_is_the_one_that_would_be_alone(self) -> None:
        rows = trace(Degraded(count=3))
        assert len({row.instance for row in rows}) == 3 and trace(Degraded())[0] in rows

    def test_an_instance_that_there_is_not_is_refused(self) -> None:
        with pytest.raises(SettingError, match=r"^instance=4.*0 to 3"):
            trace(Degraded(instance=4))


class TestCorrupt:
    def test_tasks_of_some_instances_go_wrong_with_the_probability(self) -> None:
        rows = trace(Corrupt("garbage", count=2, probability=0.2, scale=3.0), instances=6)
        assert len({row.instance for row in rows}) == 2
        assert {(row.kind, row.factor, row.extra_ms) for row in rows} == {("garbage", 3.0, 0.0)}
        begins_s = np.random.default_rng(1).uniform(0, 100, 20_000)
        timeline = next(filter(None, timelines(rows, 6)))
        wrong = [timeline.fault(begin_s) is not None for begin_s in begins_s]
        assert np.mean(wrong) == pytest.approx(0.2, abs=0.015)
        assert timeline.at(50.0) == (1.0, 0.0)

    def test_an_instance_that_is_always_wrong_has_one_row(self) -> None:
        rows = trace(Corrupt("stuck", instances=[3, 1], probability=1, start_s=10, end_s=40))
        assert rows == [Disturbance("stuck", instance, 10, 40) for instance in (1, 3)]

    def test_more_instances_than_there_are_means_all(self) -> None:
        rows = trace(Corrupt("nan", count=9, probability=1), duration_s=5)
        assert rows == [Disturbance("nan", instance, 0, 5) for instance in range(4)]


class TestCrash:
    def test_kills_at_given_times(self) -> None:
        rows = trace(Crash(times_s=[12.5, 5, 100], instance=1))
        assert rows == [Disturbance("kill", 1, 12.5, 12.5), Disturbance("kill", 1, 5, 5)]

    def test_kills_at_intervals(self) -> None:
        rows = trace(Crash(interval_s=1))
        assert [row.start_s for row in rows] == list(range(1, 100))
        assert {row.instance for row in rows} == {0, 1, 2, 3}

    def test_kills_at_a_rate(self) -> None:
        times_s = np.array([row.start_s for row in trace(Crash(rate_per_s=5), duration_s=400)])
        assert len(times_s) == pytest.approx(2000, rel=0.1)
        gaps_s = np.diff(times_s)
        assert gaps_s.std() == pytest.approx(gaps_s.mean(), rel=0.1)  # as exponential ones have it

    def test_an_instance_that_there_is_not_is_refused(self) -> None:
        with pytest.raises(SettingError, match=r"^instance=4.*0 to 3"):
            trace(Crash(instance=4))


class TestBackground:
    def test_a_fraction_of_the_instances_all_the_time(self) -> None:
        rows = trace(Multitenancy(TenantService(), fraction=0.5), instances=6)
        assert len({row.instance for row in rows}) == 3
        assert all((row.kind, row.start_s, row.end_s) == ("tenant", 0, 100) for row in rows)

    def test_a_neighbour_slows_when_and_where_a_tenant_would_be_at_work(self) -> None:
        spells = {"instances": [0, 2], "duty": 0.25, "period_s": 2}
        slow = trace(Neighbour(1.5, **spells))
        tenant = trace(Multitenancy(TenantService(), **spells))
        assert [(row.instance, row.start_s, row.end_s) for row in slow] == [
            (row.instance, row.start_s, row.end_s) for row in tenant
        ]
        assert {(row.kind, row.factor, row.extra_ms) for row in slow} == {("slow", 1.5, 0.0)}

    def test_at_least_one_instance(self) -> None:
        assert len(trace(Contention(Burner(), fraction=0.01))) == 1

    def test_given_instances_on_and_off(self) -> None:
        rows = trace(Contention(Burner(), instances=[3, 1], duty=0.25, period_s=2), duration_s=101)
        for instance in (1, 3):
            own = [row for row in rows if row.instance == instance]
            assert sum(row.end_s - row.start_s for row in own) == pytest.approx(101 / 4, abs=0.5)
            assert all(row.end_s - row.start_s == pytest.approx(0.5) for row in own[1:-1])
            for one, following in itertools.pairwise(own[1:-1]):
                assert following.start_s - one.start_s == pytest.approx(2)
        assert {row.kind for row in rows} == {"contention"}
        assert len(rows) == len({row.start_s for row in rows})  # not in step with each other

    def test_an_instance_that_there_is_not_is_refused(self) -> None:
        with pytest.raises(SettingError, match=r"^instances=\[4\].*0 to 3"):
            trace(Contention(Burner(), instances=[4]))

    def test_processes_of_all_models_are_gathered(self) -> None:
        assert all_helpers(MODELS) == {"contention": Burner(), "tenant": TenantService()}
        assert all_helpers({}) == {}

    def test_two_models_that_want_different_processes_are_refused(self) -> None:
        models = {"one": Contention(Burner()), "other": Contention(Burner(size=3))}
        with pytest.raises(SettingError, match=r"straggler\.other.*contention"):
            all_helpers(models)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Slowdown(1.5, Constant(1)), ["probability=1.5", "at most 1"]),
        (lambda: Slowdown("x", Constant(1)), ["probability=x"]),
        (lambda: Slowdown(0.5, Constant(1), unit_ms=0), ["unit_ms=0", "above 0"]),
        (lambda: Slowdown(0.5, Constant(1), slot_ms=-1), ["slot_ms=-1"]),
        (lambda: Constant(-1), ["value=-1"]),
        (lambda: Exponential(math.nan), ["mean=nan"]),
        (lambda: LogNormal(0, 1), ["median=0"]),
        (lambda: Pareto(1, 0), ["shape=0"]),
        (lambda: Shuffle(transfers=0), ["transfers=0", "whole number or None, 1 or more"]),
        (lambda: Shuffle(low_mb=9, high_mb=8), ["high_mb=8", "at least 9"]),
        (lambda: Shuffle(high_mb=1e6), ["high_mb=1000000", "transfers would take", "600"]),
        (lambda: Shuffle(low_mb=0.01), ["low_mb=0.01", "transfers would take"]),
        (lambda: Shuffle(rate_mb_per_s=0), ["rate_mb_per_s=0"]),
        (lambda: Shuffle(probability=-0.1), ["probability=-0.1", "0 or more and at most 1"]),
        (lambda: Shuffle(mean_extra=None), ["mean_extra=None"]),
        (lambda: Degraded(factor=0), ["factor=0"]),
        (lambda: Degraded(instance=1, count=2), ["instance=1", "count=2"]),
        (lambda: Degraded(instance=True), ["instance=True"]),
        (lambda: Corrupt("rubbish"), ["kind=rubbish", "garbage, stuck or nan"]),
        (lambda: Corrupt(count=0), ["count=0", "1 or more"]),
        (lambda: Corrupt(instances="all"), ["instances=all", "list"]),
        (lambda: Corrupt(instances=[-1]), ["instances=[-1]", "each 0 or more"]),
        (lambda: Corrupt(probability=2), ["probability=2", "at most 1"]),
        (lambda: Corrupt(scale=0), ["scale=0", "above 0"]),
        (lambda: Corrupt(start_s=3, end_s=2), ["end_s=2", "at least 3"]),
        (lambda: trace(Corrupt(instances=[4])), ["instances=[4]", "0 to 3"]),
        (lambda: Crash(times_s=[1], interval_s=1), ["times_s", "interval_s"]),
        (lambda: Crash(times_s=5), ["times_s=5", "list"]),
        (lambda: Crash(times_s=[-5]), ["times_s=[-5]", "0 or more"]),
        (lambda: Crash(rate_per_s=0), ["rate_per_s=0"]),
        (lambda: Contention(Burner(), fraction=0), ["fraction=0"]),
        (lambda: Contention(Burner(), fraction=0.1, instances=[1]), ["fraction", "instances"]),
        (lambda: Multitenancy(TenantService(), duty=2), ["duty=2"]),
        (lambda: Multitenancy(TenantService(), instances="all"), ["instances=all", "list"]),
        (lambda: Neighbour(0.5), ["factor=0.5"]),
        (lambda: TenantService(rate_qps=0), ["rate_qps=0"]),
        (lambda: Burner(size=0), ["size=0"]),
        (lambda: Replay(None, Burner(), TenantService()), ["path=None", "instance, start_s"]),
        (lambda: Replay("nosuch.csv", Burner(), TenantService()), ["nosuch.csv", "no such file"]),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_name(make: Any, words: list[str]) -> None:
    with pytest.raises((SettingError, UserError)) as refused:
        make()
    line = str(refused.value)
    assert "\n" not in line
    assert all(word in line for word in words)


LONG_S = 1.7e9


@pytest.mark.parametrize(
    "straggler",
    [
        Slowdown(0.05, Exponential(6.0)), Slowdown(0.0, Exponential(6.0)), Slowdown(1e-9, Constant(1), slot_ms=1e-3),
        Shuffle(), Shuffle(transfers=10**4), Corrupt(), Crash(), Crash(rate_per_s=1000), Crash(interval_s=1e-3),
        Crash(mtbf_s=1.0), Contention(Burner(), duty=0.5), Neighbour(1.5, duty=0.5),
    ],
)  # fmt: skip
def test_a_trace_that_would_not_fit_into_memory_is_refused_at_once(straggler: Straggler) -> None:
    with pytest.raises(SettingError) as refused:
        trace(straggler, instances=6, duration_s=LONG_S)
    assert str(refused.value).startswith("a trace of ") and "at most" in str(refused.value)


def test_what_lasts_for_good_may_be_as_long_as_it_likes() -> None:
    for straggler in (Degraded(), Contention(Burner()), Corrupt(probability=1), Crash(times_s=[5])):
        assert trace(straggler, duration_s=LONG_S)


def test_times_without_a_bound_are_cut_to_what_a_file_holds() -> None:
    rows = trace(Slowdown(1.0, Pareto(1.0, 0.001)), duration_s=1)
    assert all(math.isfinite(row.extra_ms) for row in rows)


@pytest.mark.parametrize("first", ["nan", "NaN", "inf", "-inf", "NA", "null", "12 ms", "-", "1e", "0x10", "-1", "_"])
def test_a_first_row_that_is_no_number_and_no_name_is_refused(tmp_path: Path, first: str) -> None:
    (tmp_path / "times.csv").write_text(f"{first}\n1\n2\n")
    with pytest.raises(UserError, match="row 1"):
        Empirical(str(tmp_path / "times.csv"))


@pytest.mark.parametrize("name", ["ms", "service time (ms)", "time_s", "extra", "Dauer", "#ms"])
def test_a_first_row_with_a_name_is_a_header(tmp_path: Path, name: str) -> None:
    (tmp_path / "times.csv").write_text(f"{name}\n1\n2\n")
    assert Empirical(str(tmp_path / "times.csv")).values.tolist() == [1, 2]


def stragglers_of(folder: Path, *overrides: str) -> dict[str, Straggler]:
    """Compose the shipped config group, in the way that the primary config names it."""
    (folder / "config.yaml").write_text(
        f"defaults:\n  - _self_\n  - straggler: [none]\nhydra:\n  searchpath: ['file://{CONF}']\n"
    )
    with initialize_config_dir(str(folder), version_base="1.3"):
        config = compose_config("config", list(overrides))
    return {name: instantiate(node) for name, node in OmegaConf.to_container(config.straggler).items()}


class TestConfig:
    @pytest.mark.parametrize(
        ("override", "classes"),
        [
            ("straggler=none", []),
            ("straggler=slowdown", [Slowdown]),
            ("straggler=shuffle", [Shuffle]),
            ("straggler=degraded", [Degraded]),
            ("straggler=crash", [Crash]),
            ("straggler=corrupt", [Corrupt]),
            ("straggler=contention", [Contention]),
            ("straggler=multitenancy", [Multitenancy]),
            ("straggler=[shuffle,crash]", [Shuffle, Crash]),
            ("straggler=[shuffle]", [Shuffle]),
        ],
    )
    def test_each_shipped_file_makes_a_straggler(self, tmp_path: Path, override: str, classes: list[type]) -> None:
        stragglers = stragglers_of(tmp_path, override)
        assert [type(straggler) for straggler in stragglers.values()] == classes
        compose(stragglers, 6, 20, 0, SERVICE_S)
        all_helpers(stragglers)

    @pytest.mark.parametrize("name", ["constant", "exponential", "lognormal", "pareto"])
    def test_the_distribution_is_a_choice(self, tmp_path: Path, name: str) -> None:
        choice = f"straggler/distribution@straggler.slowdown.distribution={name}"
        slowdown = stragglers_of(tmp_path, "straggler=[slowdown,shuffle]", choice)["slowdown"]
        assert isinstance(slowdown, Slowdown)
        assert type(slowdown.distribution).__name__.lower() == name

    def test_settings_are_reached_by_the_name_of_the_model(self, tmp_path: Path) -> None:
        overrides = ["straggler=[crash,shuffle]", "straggler.shuffle.transfers=2", "straggler.crash.times_s=[1,2.5]"]
        stragglers = stragglers_of(tmp_path, *overrides)
        assert isinstance(stragglers["shuffle"], Shuffle) and stragglers["shuffle"].transfers == 2
        assert isinstance(stragglers["crash"], Crash) and stragglers["crash"].times_s == [1, 2.5]

    def test_a_file_is_replayed(self, tmp_path: Path) -> None:
        write_trace(tmp_path / "trace.csv", [Disturbance("slow", 1, 0.5, 2, 3)])
        stragglers = stragglers_of(tmp_path, "straggler=trace", f"straggler.trace.path={tmp_path}/trace.csv")
        assert compose(stragglers, 4, 10, 0, SERVICE_S) == [Disturbance("slow", 1, 0.5, 2, 3)]
