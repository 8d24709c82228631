"""How policies stand against each other over simulated runs, and what their gaps depend on."""

from pathlib import Path

import pandas as pd
import pytest

from parity_exp.analysis.figures.panels import panels
from parity_exp.analysis.figures.standings import gap_ratio, policy_standings, standing_sentences, standings
from parity_exp.analysis.pages.comparison import write_comparison
from parity_exp.analysis.runs.tidy import Tidy
from parity_exp.recordings.gathered import GatheredRun, gather
from tests.analysis.many_runs import Configs, write_run

TAILS_MS = {"equal_resources": 400.0, "parity": 100.0, "adaptive": 50.0, "oracle": 25.0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulations of four policies under two stragglers of three strengths, at two loads; parity collapses at 90 %."""
    folder = tmp_path_factory.mktemp("simulated")
    configs = Configs()
    for straggler in ("shuffle", "slowdown"):
        for place, probability in enumerate((0.1, 0.2, 0.4)):
            for load in (0.3, 0.9):
                config = configs("digits", "mlp", "addition", straggler)
                config["straggler"] = {straggler: {**config["straggler"][straggler], "probability": probability}}
                config["load"] = {**config["load"], "utilisation": load}
                metrics = {"simulate/rate_qps": 1.0, "simulate/service_time_ms": 20.0, "simulate/utilisation": load}
                for policy, tail_ms in TAILS_MS.items():
                    tail_ms *= (place + 1 if policy == "equal_resources" else 1) * (
                        10 if (policy, load) == ("parity", 0.9) else 1
                    )
                    values = {"latency_ms/p50": 20.0, "latency_ms/p99": tail_ms / 2, "latency_ms/p99.9": tail_ms}
                    values |= {"latency_ms/p90": 30.0, "latency_ms/p99.5": tail_ms / 2}
                    values |= {"latency_ms/mean": 22.0, "latency_ms/max": 2 * tail_ms}
                    values |= {"gap_ms": tail_ms - 20, "queries": 100, "instances": 6, "extra_instances": 2}
                    metrics |= {f"simulate/{policy}/{name}": value for name, value in values.items()}
                write_run(folder / f"{straggler}-{probability}-{load}", config, metrics, "simulate")
    return folder


@pytest.fixture(scope="module")
def tidy(runs: Path) -> Tidy:
    return Tidy(gather([str(runs)]))


def test_simulated_runs_are_compared_like_served_ones(runs: Path, tmp_path: Path) -> None:
    written = write_comparison(gather([str(runs)]), tmp_path, [str(runs)])
    assert set(written.serving["command"]) == {"simulate"}
    assert set(written.serving["policy"]) == set(TAILS_MS)
    assert written.runs["problem"].isna().all()
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"latency_by_utilisation", "policy_standings"} <= drawn
    assert "accuracy_against_latency" not in drawn, "a simulation has no predictions"
    page = written.page.read_text()
    assert "12 simulate" in page and "accuracy of what clients got" not in page


def test_a_policy_is_measured_against_the_best_other_one_that_knows_no_more(tidy: Tidy) -> None:
    table = standings(tidy.serving)
    assert len(table) == 4 * 12
    means = table.groupby(["policy", "load"])["p99.9"].agg(["min", "max"])
    assert means.loc[("adaptive", "30 %")].tolist() == [0.5, 0.5]  # of parity's 100 ms
    assert means.loc[("parity", "30 %")].tolist() == [2, 2]
    assert means.loc[("parity", "90 %")].tolist() == [20, 20]
    assert means.loc[("oracle", "90 %")].tolist() == [0.5, 0.5]
    assert means.loc[("adaptive", "90 %")].tolist() == [50 / 1000, 50 / 400]  # of parity, of equal_resources


def test_it_is_said_how_often_a_policy_is_the_best(tidy: Tidy) -> None:
    by_policy = {sentence.partition(":")[0]: sentence for sentence in standing_sentences(standings(tidy.serving))}
    assert "p99.9 within 5% of the best other policy or better at 12 of 12 points" in by_policy["adaptive"]
    assert "p99.9 within 5% of the best other policy or better at 0 of 12 points" in by_policy["parity"]
    assert "at worst 20.00" in by_policy["parity"]


def test_a_ratio_of_gaps_is_drawn_over_each_number_that_varies(tidy: Tidy) -> None:
    plate = gap_ratio(Tidy(tidy_runs(tidy, "shuffle")))
    assert plate is not None and plate.left_out == 0
    (axis,) = plate.figure.axes
    assert axis.get_xlabel() == "straggler.shuffle.probability"
    line = next(line for line in axis.get_lines() if line.get_label() == "adaptive")
    assert list(line.get_xdata()) == [0.1, 0.2, 0.4]
    assert list(line.get_ydata()) == pytest.approx([380 / 30, 780 / 30, 1180 / 30])
    assert axis.get_yscale() == "log", "parity gains a tenth of that"


def test_panels_say_all_that_tells_them_apart() -> None:
    strengths = ["0.1", "0.2"]
    same = "simulated simulate.service_time.mean_extra=0.05 straggler.shuffle.transfers=4 straggler.shuffle.seed=1"
    table = pd.DataFrame({"setting": [f"{same} straggler.shuffle.mean_extra={strength}" for strength in strengths]})
    titles = [title for title, _ in panels(table, ["setting"], lambda part: len(part) > 0)[0]]
    assert [title.split()[-1] for title in titles] == [f"shuffle.mean_extra={strength}" for strength in strengths]
    assert all(len(line) <= 40 for title in titles for line in title.splitlines())


def test_nothing_is_drawn_of_what_has_nothing_to_compare(tidy: Tidy) -> None:
    serving = tidy.serving
    two = serving[serving["policy"].isin(["parity", "adaptive"])]
    assert standings(two).empty and policy_standings(two) is None and standing_sentences(standings(two)) == []
    assert policy_standings(pd.DataFrame()) is None
    assert gap_ratio(Tidy([])) is None


def tidy_runs(tidy: Tidy, straggler: str) -> list[GatheredRun]:
    return [run for run in gather(sorted(set(tidy.serving["run"]))) if straggler in run.config["straggler"]]
