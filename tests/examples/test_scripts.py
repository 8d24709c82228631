"""The scripts in ``examples`` run as they are, and print a row for each policy."""

from pathlib import Path

import pandas as pd
import pytest

from parity_exp.policies.estimates.experience import TABLE
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
    said = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in said[-2:]] == ["p99", "p99.9"]
    assert all("of 2 points" in line for line in said[-2:])
    others = [line for line in said if line.startswith(("p99 of ", "p99.9 of "))]
    assert len(others) == 16, "of eight others, of which the best is one"
    assert pd.read_csv(tmp_path / "unseen.csv").filter(regex="^p99 of .* over the best$").min(axis=1).eq(1).all()


@pytest.mark.slow
def test_clusters_may_have_clients_who_wait_and_so_many_frontends(tmp_path: Path) -> None:
    words = ["--points=2", "--first=1", "--queries=300", "--policy=adaptive", "--frontends=4"]
    for closed in ((), ("--closed",)):
        done = run_script("unseen_clusters.py", tmp_path, *words, *closed, "--out=unseen.csv")
        assert done.returncode == 0, done.stderr
        table = pd.read_csv(tmp_path / "unseen.csv")
        assert table["frontends"].tolist() == [4, 4]
        assert table["load"].str.contains("clients").all() == bool(closed)


@pytest.mark.slow
def test_a_part_of_autopilot_may_be_left_out_in_its_place(tmp_path: Path) -> None:
    words = ["--points=1", "--queries=300", "--policy=autopilot_without_replays", "--out=unseen.csv"]
    done = run_script("unseen_clusters.py", tmp_path, *words)
    assert done.returncode == 0, done.stderr
    others = pd.read_csv(tmp_path / "unseen.csv").filter(regex="^p99 of .* over the best$")
    assert others.shape == (1, 8) and "p99 of autopilot over the best" not in others


@pytest.mark.slow
@pytest.mark.parametrize("number", [5, 205, 700])
def test_experience_is_gathered_again_as_it_comes_with_the_package(number: int, tmp_path: Path) -> None:
    done = run_script("gather_experience.py", tmp_path, "--clusters=1", f"--first={number}", "--out=mine.csv.gz")
    assert done.returncode == 0, done.stderr
    made, shipped = pd.read_csv(tmp_path / "mine.csv.gz"), pd.read_csv(TABLE)
    expected = shipped[shipped["cluster"] == number].reset_index(drop=True)
    assert len(expected) == 3, "what could be known after so many arrivals"
    made = made.reindex(columns=expected.columns)  # with one frontend there is one way less
    pd.testing.assert_frame_equal(made, expected, check_dtype=False, rtol=1e-3)
    assert len({*made["frontends"]}) == 1 and made.notna().all(axis=None) == (number != 5)


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


@pytest.mark.slow
def test_what_is_served_on_real_instances_stands_beside_its_simulation(tmp_path: Path) -> None:
    words = ["--only=0", "--policies", "autopilot", "hedged", "--seconds=3", "--later=1", "--jobs=2", "--out=out"]
    served = run_script("autopilot_served.py", tmp_path, *words, "--what=served")
    assert served.returncode == 0, served.stderr
    assert "simulated" not in served.stdout
    both = run_script("autopilot_served.py", tmp_path, *words, "--what=simulated")
    assert both.returncode == 0, both.stderr
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert list(table["policy"]) == ["autopilot", "hedged"]
    for kind in ("served", "simulated"):
        assert (table[f"{kind} lost"] == 0).all()
        assert (table[[f"{kind} p99", f"{kind} p99.9", f"{kind} p99 later"]] >= 25).all(axis=None)
    said = both.stdout.splitlines()[-2:]
    assert [line.partition(":")[0] for line in said] == ["point 0 served", "point 0 simulated"]
    assert all("(hedged)" in line for line in said)
    again = run_script("autopilot_served.py", tmp_path, *words, "--what")
    assert again.stdout.splitlines() == both.stdout.splitlines()[2:], "nothing is run, and the same is told"


def test_a_policy_that_the_limit_cuts_off_is_named_and_no_process_is_left(tmp_path: Path) -> None:
    words = ["--only=2", "--policies", "hedged", "--seconds=600", "--what=served", "--limit=2"]
    done = run_script("autopilot_served.py", tmp_path, *words)
    assert done.returncode == 1
    assert done.stdout == "nothing was measured\n"
    assert done.stderr == "failed: point 2, hedged, served, which the limit cut off\n"
