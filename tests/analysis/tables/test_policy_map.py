"""Which policy is taken at each point of a map, how often each is better, and the picture of it."""

from pathlib import Path

import pandas as pd
import pytest

from parity_exp.analysis.figures.colours import PLAIN
from parity_exp.analysis.figures.policy_map import policy_map
from parity_exp.analysis.pages.comparison import write_comparison
from parity_exp.analysis.runs.pairs import pairs_of
from parity_exp.analysis.runs.tidy import Tidy
from parity_exp.analysis.tables.policy_map import crossed, map_points, standings_of_pairs
from parity_exp.recordings.gathered import GatheredRun, gather
from tests.analysis.many_runs import Configs, write_run

COSTS = {"equal_resources": (1.0, 0.0), "hedged": (1.05, 0.0), "parity": (1.5, 0.25), "duplicates": (2.0, 0.0)}
"""Tasks a query, and the share of reconstructed answers."""

TAILS_MS = {
    (0.4, 0.3): {"equal_resources": 60, "hedged": 50, "parity": 38, "duplicates": 39, "oracle": 10, "replication": 5},
    (0.4, 0.9): {"equal_resources": 60, "hedged": 59, "parity": 200, "duplicates": 90, "oracle": 10, "replication": 5},
    (6.0, 0.3): {"equal_resources": 400, "hedged": 80, "parity": 90, "duplicates": 50, "oracle": 10, "replication": 5},
    (6.0, 0.9): {
        "equal_resources": 400,
        "hedged": 80,
        "parity": 900,
        "duplicates": 300,
        "oracle": 10,
        "replication": 5,
    },
}
"""p99.9 by strength, load and policy; p99 is half of it, but the same for all at 0.4 and 30 %."""


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> list[GatheredRun]:
    folder = tmp_path_factory.mktemp("map")
    configs = Configs()
    for (strength, load), tails_ms in TAILS_MS.items():
        config = configs("digits", "mlp", "addition", "shuffle")
        config["straggler"] = {"shuffle": {**config["straggler"]["shuffle"], "mean_extra": strength}}
        config["load"] = {**config["load"], "utilisation": load}
        metrics = {"simulate/rate_qps": 1.0, "simulate/service_time_ms": 20.0, "simulate/utilisation": load}
        for policy, tail_ms in tails_ms.items():
            tasks, rebuilt = COSTS.get(policy, (2.0, 0.0))
            p99_ms = 30.0 if (strength, load) == (0.4, 0.3) else tail_ms / 2
            values = {f"latency_ms/{name}": 20.0 for name in ("p50", "p90", "p99.5", "mean", "max")}
            values |= {"latency_ms/p99": p99_ms, "latency_ms/p99.9": tail_ms, "gap_ms": tail_ms - 20, "queries": 100}
            values |= {"instances": 8 if policy == "replication" else 6, "extra_instances": 2}
            values |= {"tasks_per_query": tasks, "fraction/reconstructed": rebuilt}
            metrics |= {f"simulate/{policy}/{name}": value for name, value in values.items()}
        run = folder / f"{strength}-{load}"
        write_run(run, config, metrics, "simulate")
        rows = [
            (one, other, 99.9, ratio := tails_ms[one] / tails_ms[other], 0.9 * ratio, 1.1 * ratio)
            for place, one in enumerate(tails_ms)
            for other in list(tails_ms)[place + 1 :]
        ]
        pd.DataFrame(rows, columns=["policy", "other", "percentile", "ratio", "low", "high"]).to_csv(
            run / "pairs.csv", index=False
        )
    return gather([str(folder)])


def test_the_cheapest_of_the_fastest_is_taken(gathered: list[GatheredRun]) -> None:
    points = map_points(Tidy(gathered).serving)
    taken = points.set_index(["setting", "load", "percentile"])["policy"]
    weak, strong = (f"simulated straggler.shuffle.mean_extra={strength}" for strength in ("0.4", "6"))
    assert taken[weak, "30 %", 99.9] == "parity"  # as fast as duplicates, with fewer tasks
    assert taken[weak, "90 %", 99.9] == "hedged"  # costs about what nothing costs, and is a little faster
    assert taken[strong, "30 %", 99.9] == "duplicates"
    assert taken[strong, "90 %", 99.9] == "hedged"
    assert taken[weak, "30 %", 99.0] == "equal_resources", "where nothing helps, nothing is taken"
    over = points.set_index(["setting", "load", "percentile"])["over_baseline"]
    assert over[strong, "90 %", 99.9] == pytest.approx(80 / 400)


def test_bounds_and_policies_on_more_machines_are_not_compared(gathered: list[GatheredRun]) -> None:
    tidy = Tidy(gathered)
    assert not {"oracle", "replication"} & set(map_points(tidy.serving)["fastest"])
    assert set(standings_of_pairs(pairs_of(gathered), tidy.serving)["other"]) == set(COSTS)


def test_wins_losses_and_ties_are_counted_both_ways(gathered: list[GatheredRun]) -> None:
    table = standings_of_pairs(pairs_of(gathered), Tidy(gathered).serving)
    counts = table.set_index(["policy", "other"])[["lower", "open", "higher"]]
    assert counts.loc[("hedged", "equal_resources")].tolist() == [3, 1, 0]  # 59 of 60 is open
    assert counts.loc[("equal_resources", "hedged")].tolist() == [0, 1, 3]
    assert counts.loc[("parity", "hedged")].tolist() == [1, 0, 3]
    names = crossed(table, 99.9, {"hedged": 0})
    assert names.index[0] == "hedged" and names.loc["hedged", "equal_resources"] == "3 / 1 / 0"


def test_the_map_is_drawn_and_told(gathered: list[GatheredRun], tmp_path: Path) -> None:
    tidy = Tidy(gathered)
    plate = policy_map(tidy, map_points(tidy.serving), PLAIN)
    assert plate is not None and len(plate.figure.axes) == 2
    words = {text.get_text() for axis in plate.figure.axes for text in axis.texts}
    assert {"\N{MINUS SIGN}80 %", "1.5, 25%"} <= words
    written = write_comparison(gathered, tmp_path, ["map"])
    page = written.page.read_text()
    assert "Which policy when" in page and "3 / 1 / 0" in page and "policy_map" in page
    assert (tmp_path / "figures" / "policy_map.png").is_file()
    assert len(pd.read_csv(tmp_path / "map.csv")) == 8
    assert set(pd.read_csv(tmp_path / "standings.csv")["percentile"]) == {99.9}


def test_a_damaged_table_of_pairs_costs_nothing_but_itself(gathered: list[GatheredRun], tmp_path: Path) -> None:
    run = gathered[0]
    (run.path / "pairs.csv").write_text("policy,other\nhedged,parity\n")
    assert set(pairs_of(gathered)["run"]) == {str(other.path) for other in gathered[1:]}
    assert pairs_of([run]).empty and list(pairs_of([run]).columns)[:3] == ["run", "policy", "other"]


def test_there_is_no_map_of_one_load(gathered: list[GatheredRun]) -> None:
    some = [run for run in gathered if run.config["load"]["utilisation"] == 0.3]
    assert policy_map(Tidy(some), map_points(Tidy(some).serving), PLAIN) is None
    assert map_points(pd.DataFrame()).empty
