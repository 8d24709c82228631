"""``serve frontends=...`` from the command line: real instances, real frontends, codes of all kinds."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.commands.test_serve import BRISK
from tests.conftest import Run, Trained, metrics, run_dirs


def served(run: Run, folder: Path, trained_run: Path, *overrides: str) -> tuple[dict[str, Any], Path]:
    assert run("serve", f"run={trained_run}", "tracker=none", *BRISK, "load.slo_ms=null", *overrides) == 0
    (run_dir,) = run_dirs(folder, "serve")
    return metrics(run_dir), run_dir


def check_whole(values: dict[str, Any], run_dir: Path, policy: str, frontends: int) -> pd.DataFrame:
    """Each query has one answer, and each frontend has answered some."""
    assert values[f"serve/{policy}/queries"] == 60
    assert values[f"serve/{policy}/lost"] == values[f"serve/{policy}/duplicates"] == 0
    table = pd.read_parquet(run_dir / f"queries-{policy}.parquet")
    assert set(table["frontend"]) == set(range(frontends)) and table["query"].is_unique
    assert all(values[f"serve/{policy}/frontends/{number}/frontend_us"] > 0 for number in range(frontends))
    return table


@pytest.mark.slow
def test_no_query_is_lost_though_instances_are_killed(run: Run, folder: Path, trained: Trained) -> None:
    """Each instance once, so that there is an end to it on machines on which it takes long to start one."""
    deaths = folder / "deaths.csv"
    deaths.write_text("instance,start_s,end_s,factor,extra_ms,kind\n0,0.05,0.05,1,0,kill\n1,0.1,0.1,1,0,kill\n")
    values, run_dir = served(
        run,
        folder,
        trained(),
        "straggler=trace",
        f"straggler.trace.path={deaths}",
        "redundancy=[parity]",
        "frontends=3",
    )
    check_whole(values, run_dir, "parity", 3)
    tasks = pd.read_parquet(run_dir / "tasks-parity.parquet")
    assert tasks["task"].is_unique and set(tasks["outcome"]) <= {"done", "lost"}


@pytest.mark.slow
def test_frontends_predict_what_one_does(run: Run, folder: Path, trained: Trained) -> None:
    several, run_dir = served(run, folder, trained(), "redundancy=[none]", "frontends=4", "frontend_split=round_robin")
    table = check_whole(several, run_dir, "none", 4)
    alone = folder / "alone"
    assert run("serve", f"run={trained()}", "tracker=none", *BRISK, "redundancy=[none]", f"hydra.run.dir={alone}") == 0
    one = pd.read_parquet(alone / "queries-none.parquet")
    assert table["predicted"].tolist() == one["predicted"].tolist() and "frontend" not in one
    assert several["serve/none/accuracy"] == metrics(alone)["serve/none/accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("training", "policy", "more"),
    [
        (("r=2", "k=3"), "parity", ("straggler=slowdown",)),
        (("r=2", "k=2"), "voted_parity", ("straggler=corrupt",)),
        (("code=berrut", "k=2"), "coded", ()),
        ((), "autopilot", ()),
        ((), "adaptive", ("queue=prequal", "pool.batch_size=2")),
    ],
    ids=["two parities", "votes", "coded", "autopilot", "batches"],
)
def test_every_kind_of_policy_has_several_frontends(
    run: Run, folder: Path, trained: Trained, training: tuple[str, ...], policy: str, more: tuple[str, ...]
) -> None:
    values, run_dir = served(run, folder, trained(*training), f"redundancy=[{policy}]", "frontends=2", *more)
    check_whole(values, run_dir, policy, 2)
