"""Loads have the rates and distributions that they are asked for, and refuse what cannot be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from parity_exp.checks import SettingError
from parity_exp.errors import UserError
from parity_exp.load import (
    Bursts,
    ClosedLoop,
    Constant,
    Load,
    Poisson,
    TraceLoad,
    query_indices,
    read_arrivals,
    write_arrivals,
)

CONF = Path(__file__).parents[2] / "conf" / "load"


def arrivals(load: Load, rate_qps: float, seed: int = 0) -> np.ndarray:
    return load.arrivals(rate_qps, np.random.default_rng(seed))


class TestRate:
    def test_a_rate_is_taken_as_it_is(self) -> None:
        assert Poisson(10, rate_qps=120).rate(service_s=0.02, base_instances=4) == 120

    def test_utilisation_is_a_share_of_what_the_base_instances_serve(self) -> None:
        assert Poisson(10, utilisation=0.6).rate(service_s=0.02, base_instances=4) == pytest.approx(120)

    def test_half_of_it_where_nothing_is_given(self) -> None:
        assert Poisson(10).rate(service_s=0.02, base_instances=4) == pytest.approx(100)


class TestOpenLoop:
    @pytest.mark.parametrize("load", [Poisson(1000, 50), Constant(1000, 50), Bursts(1000, 50)])
    def test_arrivals_cover_the_warm_up_ascend_and_repeat_by_seed(self, load: Load) -> None:
        times_s = arrivals(load, 100)
        assert load.open_loop
        assert times_s.shape == (1050,) and times_s.dtype == np.float64
        assert times_s[0] >= 0 and (np.diff(times_s) >= 0).all()
        assert (times_s == arrivals(load, 100)).all()

    def test_poisson_gaps_are_exponential(self) -> None:
        gaps_s = np.diff(arrivals(Poisson(100_000), 200))
        assert gaps_s.mean() == pytest.approx(1 / 200, rel=0.02)
        assert gaps_s.std() == pytest.approx(1 / 200, rel=0.02)
        assert (gaps_s > 3 / 200).mean() == pytest.approx(np.exp(-3), rel=0.05)

    def test_constant_gaps_are_equal(self) -> None:
        assert arrivals(Constant(4), 10).tolist() == pytest.approx([0, 0.1, 0.2, 0.3])

    @pytest.mark.parametrize("random_lengths", [True, False])
    @pytest.mark.parametrize("off_s", [0.0, 1.5])
    def test_bursts_have_the_mean_rate(self, random_lengths: bool, off_s: float) -> None:
        times_s = arrivals(Bursts(100_000, on_s=0.5, off_s=off_s, random_lengths=random_lengths), 200)
        assert len(times_s) / times_s[-1] == pytest.approx(200, rel=0.1)

    def test_bursts_of_fixed_length_are_quiet_between(self) -> None:
        times_s = arrivals(Bursts(20_000, on_s=0.5, off_s=1.5, random_lengths=False), 200)
        assert (times_s % 2 <= 0.5 + 1e-9).all()
        assert np.histogram(times_s % 2, bins=5, range=(0, 0.5))[0] == pytest.approx(4000, rel=0.1)

    def test_bursts_of_random_length_have_exponential_quiet_times(self) -> None:
        times_s = arrivals(Bursts(100_000, on_s=0.5, off_s=1.0), 2000)
        quiet_s = np.diff(times_s)
        quiet_s = quiet_s[quiet_s > 0.1]  # hardly any gap of a burst at 6000 a second is that long
        assert (quiet_s - 0.1).mean() == pytest.approx(1.0, rel=0.3)


class TestTrace:
    def test_arrivals_come_back_exactly(self, tmp_path: Path) -> None:
        times_s = arrivals(Poisson(100), 33)
        write_arrivals(tmp_path / "arrivals.csv", times_s)
        load = TraceLoad(str(tmp_path / "arrivals.csv"))
        assert (load.queries, load.warmup) == (100, 0)
        assert (arrivals(load, 1) == times_s).all()
        assert load.rate(0.02, 4) == pytest.approx(100 / times_s[-1])

    def test_the_header_can_be_left_out_and_blank_lines_do_no_harm(self, tmp_path: Path) -> None:
        (tmp_path / "arrivals.csv").write_text("0\n\n0.5\n 0.5 \n2\n")
        assert read_arrivals(tmp_path / "arrivals.csv").tolist() == [0, 0.5, 0.5, 2]

    def test_queries_and_warm_up_count_from_the_beginning(self, tmp_path: Path) -> None:
        (tmp_path / "arrivals.csv").write_text("scheduled_s\n0\n1\n2\n3\n")
        load = TraceLoad(str(tmp_path / "arrivals.csv"), queries=2, warmup=1)
        assert arrivals(load, 1).tolist() == [0, 1, 2]
        assert TraceLoad(str(tmp_path / "arrivals.csv"), warmup=1).queries == 3

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", ["empty"]),
            ("scheduled_s\n", ["no arrivals"]),
            ("when\n1\n", ["row 1", "when", "scheduled_s"]),
            ("scheduled_s\n1\nsoon\n", ["row 3", "soon"]),
            ("scheduled_s\n-1\n", ["row 2", "-1"]),
            ("scheduled_s\nnan\n", ["row 2", "nan"]),
            ("scheduled_s\n1\n\n2,3\n", ["row 4", "2 columns"]),
            ("query,scheduled_s\n1,2\n", ["row 1", "2 columns"]),
            ("2\n1\n", ["row 2", "sort"]),
            ("scheduled_s\ninf\n", ["row 2", "inf"]),
            ("nan\n1\n", ["row 1", "nan"]),
            ("1700000000000\n1700000000008\n", ["row 1", "1700000000000", "milliseconds"]),
            ("0\n1700000000000000\n", ["row 2", "at most 1e+11"]),
            ("0\n1e300\n", ["row 2", "1e300"]),
        ],
    )
    def test_a_bad_file_is_refused_by_row(self, tmp_path: Path, text: str, words: list[str]) -> None:
        path = tmp_path / "arrivals.csv"
        path.write_text(text)
        with pytest.raises(UserError) as refused:
            TraceLoad(str(path))
        line = str(refused.value)
        assert "\n" not in line
        assert all(word in line for word in [str(path), *words])

    def test_seconds_since_1970_count_from_the_first(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "arrivals.csv").write_text("1764180000.25\n1764180000.5\n1764180002.25\n")
        assert read_arrivals(tmp_path / "arrivals.csv").tolist() == [0, 0.25, 2]
        (line,) = caplog.messages
        assert "1764180000" in line and "\n" not in line

    @pytest.mark.parametrize("times_s", [[0.5, 1.5], [50.0, 51.0], [3600.0, 7200.0, 12000.0], [30.0]])
    def test_a_run_may_begin_with_a_wait(self, tmp_path: Path, times_s: list[float]) -> None:
        write_arrivals(tmp_path / "arrivals.csv", np.array(times_s))
        assert read_arrivals(tmp_path / "arrivals.csv").tolist() == times_s

    def test_more_queries_than_the_file_has_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "arrivals.csv"
        path.write_text("0\n1\n")
        with pytest.raises(SettingError, match=r"queries=3.*at most 2"):
            TraceLoad(str(path), queries=3)
        with pytest.raises(SettingError, match=r"warmup=2.*fewer than the 2"):
            TraceLoad(str(path), warmup=2)


class TestClosedLoop:
    def test_clients_begin_at_once(self) -> None:
        load = ClosedLoop(100, 10, clients=3)
        assert not load.open_loop
        assert load.total == 110
        assert arrivals(load, 1).tolist() == [0, 0, 0]
        assert len(arrivals(ClosedLoop(2, clients=3), 1)) == 2

    def test_the_rate_is_bounded_by_clients_and_by_instances(self) -> None:
        assert ClosedLoop(100, clients=100).rate(0.02, 4) == pytest.approx(200)
        assert ClosedLoop(100, clients=2, think_ms=80).rate(0.02, 4) == pytest.approx(20)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Poisson(10, rate_qps=5, utilisation=0.5), ["rate_qps", "utilisation"]),
        (lambda: Poisson(10, rate_qps=0), ["rate_qps=0", "above 0"]),
        (lambda: Poisson(10, rate_qps="fast"), ["rate_qps=fast"]),
        (lambda: Poisson(10, utilisation=-0.5), ["utilisation=-0.5", "above 0"]),
        (lambda: Poisson(10, utilisation=float("inf")), ["utilisation=inf"]),
        (lambda: Poisson(0), ["queries=0", "1 or more"]),
        (lambda: Poisson(1.5), ["queries=1.5", "whole number"]),
        (lambda: Poisson(None), ["queries=None"]),
        (lambda: Poisson(1, warmup=-1), ["warmup=-1", "0 or more"]),
        (lambda: Poisson(1, slo_ms=0), ["slo_ms=0", "above 0"]),
        (lambda: Bursts(1, on_s=0), ["on_s=0"]),
        (lambda: Bursts(1, off_s=-1), ["off_s=-1"]),
        (lambda: ClosedLoop(1, clients=0), ["clients=0"]),
        (lambda: ClosedLoop(1, think_ms=-1), ["think_ms=-1"]),
        (lambda: TraceLoad(None), ["path=None", "scheduled_s"]),
        (lambda: TraceLoad("nosuch.csv"), ["nosuch.csv", "no such file"]),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_name(make: Any, words: list[str]) -> None:
    with pytest.raises((SettingError, UserError)) as refused:
        make()
    line = str(refused.value)
    assert "\n" not in line
    assert all(word in line for word in words)


@pytest.mark.parametrize(
    ("name", "kind"), [("poisson", Poisson), ("constant", Constant), ("bursts", Bursts), ("closed", ClosedLoop)]
)
def test_each_shipped_file_makes_a_load(name: str, kind: type[Load]) -> None:
    load = instantiate(OmegaConf.load(CONF / f"{name}.yaml"))
    assert type(load) is kind
    assert (load.queries, load.warmup, load.slo_ms) == (5000, 200, 1000)


def test_the_shipped_trace_file_makes_a_load(tmp_path: Path) -> None:
    (tmp_path / "arrivals.csv").write_text("0\n1\n")
    load = instantiate(OmegaConf.load(CONF / "trace.yaml"), path=str(tmp_path / "arrivals.csv"))
    assert type(load) is TraceLoad and load.queries == 2


class TestQueryIndices:
    def test_every_test_sample_comes_once_a_round_in_new_order(self) -> None:
        indices = query_indices(50, 120, np.random.default_rng(0))
        assert indices.shape == (120,)
        first, second, rest = indices[:50], indices[50:100], indices[100:]
        assert sorted(first) == sorted(second) == list(range(50))
        assert len(set(rest)) == 20
        assert (first != second).any()

    def test_the_seed_decides(self) -> None:
        one, same, other = (query_indices(50, 120, np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert (one == same).all() and (one != other).any()
