"""The scripts in ``examples`` run as they are, and print a row for each policy."""

from pathlib import Path

import pandas as pd
import pytest

from tests.examples.scripts import run_script


@pytest.mark.parametrize(
    ("script", "policies"),
    [
        pytest.param("serve_my_model.py", ["none", "equal_resources", "hedged"], marks=pytest.mark.slow),
        ("simulate_my_policy.py", ["none", "equal_resources", "replication", "second_after_awhile"]),
    ],
)
def test_a_script_prints_a_row_for_each_policy(script: str, policies: list[str], tmp_path: Path) -> None:
    done = run_script(script, tmp_path)
    assert done.returncode == 0, done.stderr
    title, columns, *rows = done.stdout.splitlines()
    assert "queries at" in title and "p99.9 ms" in columns
    assert [row.split()[0] for row in rows] == policies
    assert all(row.split()[-1] == "0" for row in rows)  # nothing was lost
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_clusters_that_nobody_tuned_for_are_drawn_again_by_their_numbers(tmp_path: Path) -> None:
    words = ["--points=2", "--first=1", "--queries=300", "--policy=adaptive", "--out=unseen.csv"]
    tables = []
    for _ in range(2):
        done = run_script("unseen_clusters.py", tmp_path, *words)
        assert done.returncode == 0, done.stderr
        tables.append((tmp_path / "unseen.csv").read_text())
    first, second = tables
    assert first == second and [row.split(",")[0] for row in first.splitlines()] == ["point", "1", "2"]
    said = done.stdout.splitlines()[-2:]
    assert [line.partition(":")[0] for line in said] == ["p99", "p99.9"] and all("of 2 points" in line for line in said)


@pytest.mark.slow
def test_with_several_seeds_the_best_other_policy_is_one_for_all_of_them(tmp_path: Path) -> None:
    words = ["--points=2", "--first=1", "--queries=300", "--policy=adaptive", "--seeds=2", "--later=0.5"]
    done = run_script("unseen_clusters.py", tmp_path, *words, "--out=unseen.csv")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "unseen.csv")
    for percentile in ("p99", "p99.9"):
        fixed = table[[f"{percentile} of who is best over all over the best of run {turn}" for turn in (1, 2)]]
        assert (fixed.to_numpy() >= 1).all(), "in no run is it better than the best of that run"
        alone = table[[f"{percentile} over the best of run {turn}" for turn in (1, 2)]]
        assert alone.notna().all(axis=None) and (table[f"{percentile} over the best"] > 0).all()
    assert (table["one other policy over the best at both"] >= 1).all()
    said = [line.partition(":")[0] for line in done.stdout.splitlines()[-8:]]
    measures = (" of each run alone", " of each run alone, who is best over all", " after 0.5 s")
    assert said == [f"{percentile}{what}" for percentile in ("p99", "p99.9") for what in measures] + ["p99", "p99.9"]
