"""Places apart from one command to the next: trained, evaluated for every number of losses, and served."""

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Run, Trained, metrics, run_dirs

APART = ("architecture=lenet", "architecture.channels=[6,6]", "architecture.hidden=60", "encoder=concat", "k=3")


@pytest.mark.slow
def test_a_convolutional_network_keeps_places_apart_and_any_number_of_losses_comes_back(
    trained: Trained, run: Run, folder: Path
) -> None:
    train = trained(*APART)
    values = metrics(train)
    degraded = values["test/degraded_accuracy"]
    assert degraded == pytest.approx(values["test/losses_1/degraded_accuracy"])
    # The available predictions are not needed: it makes no difference how many are lost.
    assert values["test/losses_3/degraded_accuracy"] == pytest.approx(degraded, abs=0.02)
    assert values["cost/parity_flops"] < 1.2 * values["cost/base_flops"]

    assert run("serve", f"run={train}", "redundancy=[parity,shared_parity]", "load.queries=200") == 0
    served = metrics(run_dirs(folder, "serve")[0])
    assert served["serve/parity/lost"] == served["serve/shared_parity/lost"] == 0
    assert served["serve/parity/fraction/reconstructed"] > 0

    for command, size in (("serve", "load.queries=300 load.utilisation=0.9"), ("simulate", "load.queries=3000")):
        disturbed = (*size.split(), "straggler=[shuffle_heavy,crash_often]")
        assert run(command, f"run={train}", "redundancy=[parity]", *disturbed) == 0
        queries = pd.read_parquet(run_dirs(folder, command)[-1] / "queries-parity.parquet")
        lost = queries[queries["source"] == "reconstructed"].groupby("group").size()
        assert set(lost) == {1, 2, 3}, command


@pytest.mark.slow
def test_a_mixture_learns_from_groups_of_like_queries_and_is_served_with_them(
    trained: Trained, run: Run, folder: Path
) -> None:
    train = trained(*APART, "decoder=mixture", "groups.correlated=1")
    values = metrics(train)
    assert values["test/losses_3/degraded_accuracy"] >= 0
    assert run("evaluate", f"run={train}", "groups.correlated=0") == 0
    apart = metrics(run_dirs(folder, "evaluate")[0])
    assert apart["test/available_accuracy"] == values["test/available_accuracy"]
    groups = [key for key in values if key.startswith("test/") and "degraded" in key]
    assert [apart[key] for key in groups] != [values[key] for key in groups], "others are in a group"

    assert run("serve", f"run={train}", "redundancy=[parity]", "load.queries=300", "straggler=shuffle_heavy") == 0
    served = run_dirs(folder, "serve")[0]
    assert metrics(served)["serve/parity/lost"] == 0
    queries = pd.read_parquet(served / "queries-parity.parquet")
    assert set(queries["source"]) == {"own", "reconstructed"}
    by_group = queries.groupby("group")["label"].nunique()
    assert by_group.mean() < 1.5  # three digits at random are 2.7 different ones


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["encoder=addition", "decoder=places"], "encoder (AdditionEncoder): it mixes the queries of a group"),
        (
            ["encoder=concat", "decoder=places", "parity.trainable=false"],
            "parity.trainable=false: the base",
        ),
        (
            ["dataset=digit_boxes", "groups.correlated=0.5"],
            "groups.correlated=0.5: groups have queries of one class, and dataset=digit_boxes has no",
        ),
    ],
)
def test_what_cannot_keep_places_apart_is_refused(
    run: Run, capsys: pytest.CaptureFixture[str], overrides: list[str], line: str
) -> None:
    assert run("train", "architecture=lenet", *overrides) == 2
    assert line in capsys.readouterr().err
