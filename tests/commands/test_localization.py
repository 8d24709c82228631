"""A data set of boxes, defined outside of the package, through all commands."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.conftest import Run, metrics, run_dirs

TRAIN = (
    "hydra.searchpath=[file://my_conf]", "dataset=rectangles", "tracker=none", "trainer.accelerator=cpu",
    "initialisation=paper", "scheduler@base.scheduler=one_cycle", "k=2",
)  # fmt: skip
TRUST = "trust=[tests.tasks.boxes]"
"""The data set is none of the package's, so a run that names it has to be trusted."""

SERVE = (
    "redundancy=[equal_resources,parity,replication]", "pool.instances=2", "pool.service_time_ms=10",
    "load.queries=300", "load.warmup=20", "load.slo_ms=60", "straggler=[slowdown]",
)  # fmt: skip


@pytest.fixture
def boxes(folder: Path) -> Path:
    """A folder with a config of the data set."""
    (folder / "my_conf" / "dataset").mkdir(parents=True)
    (folder / "my_conf" / "dataset" / "rectangles.yaml").write_text(
        "# @package _global_\ndataset:\n  _target_: tests.tasks.boxes.Rectangles\n  name: rectangles\n  samples: 1500\n"
        "  limit: null\nepochs:\n  code: 12\n  base: 15\n"
    )
    return folder


@pytest.mark.slow
def test_boxes_are_learned_reconstructed_served_and_reported(run: Run, boxes: Path) -> None:
    assert run("train", *TRAIN) == 0
    (trained,) = run_dirs(boxes)
    values = metrics(trained)
    assert {key for key in values if key.startswith("test/")} == {
        f"test/{kind}_{score}" for kind in ("available", "degraded", "reconstruction") for score in ("iou", "accuracy")
    }
    assert values["test/available_iou"] > values["test/degraded_iou"] > 0.35
    assert values["test/available_accuracy"] > 0.3
    assert values["train/parity_seconds"] > 0 and values["train/best_val_reconstruction_iou"] > 0
    overall = pd.read_csv(trained / "overall.csv")
    assert overall["overall_iou"][0] == pytest.approx(values["test/available_iou"])
    assert not (trained / "per_class.csv").exists()
    figures = {path.stem for path in (trained / "figures").iterdir()}
    assert figures == {"overall_iou", "groups", "learning_curves"}
    history = pd.read_csv(trained / "history.csv")
    assert {"val/degraded_iou", "val/reconstruction_iou"} <= set(history.columns)
    assert "val/iou" in pd.read_csv(trained / "base_history.csv").columns

    assert run("evaluate", f"run={trained}", TRUST, "tracker=none") == 0
    (evaluated,) = run_dirs(boxes, "evaluate")
    again = {key: value for key, value in metrics(evaluated).items() if not key.startswith("cost/")}
    assert again == {key: value for key, value in values.items() if key.startswith("test/")}

    assert run("serve", f"run={trained}", TRUST, "tracker=none", *SERVE) == 0
    (served,) = run_dirs(boxes, "serve")
    check_served(served)
    page = (served / "report.html").read_text()
    assert "IoU" in page and "tasks a query" in page


def check_served(served: Path) -> None:
    values = metrics(served)
    for policy in ("equal_resources", "parity", "replication"):
        queries = pd.read_parquet(served / f"queries-{policy}.parquet")
        assert values[f"serve/{policy}/lost"] == 0
        assert values[f"serve/{policy}/iou"] == pytest.approx(queries["score"].mean())
        assert values[f"serve/{policy}/accuracy"] == pytest.approx((queries["score"] >= 0.75).mean())
        label, predicted = (
            torch.tensor(queries[[f"{name}_{part}" for part in "xywh"]].to_numpy()) for name in ("label", "predicted")
        )
        assert not label.isnan().any() and not predicted.isnan().any()
        assert queries["score"][(label - predicted).abs().amax(1).numpy() < 0.05].min() > 0.7
        defaults = queries[queries["source"] == "default"]
        assert defaults["predicted_x"].nunique() <= 1, "the mean box"
    assert values["serve/parity/extra_instances"] == values["serve/equal_resources/extra_instances"] == 1
    assert values["serve/equal_resources/tasks_per_query"] == pytest.approx(1, abs=0.05)
    assert 1.2 < values["serve/parity/tasks_per_query"] < 1.6
    assert values["serve/parity/extra_queries"] >= values["serve/parity/parity_queries"] > 100
    assert values["serve/replication/parity_queries"] == 0 < values["serve/replication/extra_queries"]
    assert 1 < values["serve/replication/tasks_per_query"] <= 2
    assert values["serve/parity/encode_us"] > 0 and math.isfinite(values["serve/parity/encode_s"])


@pytest.mark.parametrize("objective", ["kl", "cross_entropy", "weighted_sum"])
def test_objectives_that_compare_classes_are_refused(
    run: Run, boxes: Path, capsys: pytest.CaptureFixture[str], objective: str
) -> None:
    assert run("train", *TRAIN, f"objective={objective}") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "objective" in lines[0] and "dataset=rectangles" in lines[0]
    assert "for classification" in lines[0]
    assert not list(boxes.rglob("*.ckpt"))


@pytest.mark.parametrize("choices", [["objective=decoded_mse", "decoder=mlp"], ["encoder=concat", "r=2", "k=3"]])
def test_other_codes_learn_boxes(run: Run, boxes: Path, choices: list[str]) -> None:
    quick = ("dataset.samples=200", "trainer.max_epochs=1", "base.max_epochs=1")
    assert run("train", *TRAIN, *quick, *choices) == 0
    (trained,) = run_dirs(boxes)
    assert "test/degraded_iou" in metrics(trained)


@pytest.mark.slow
def test_a_sweep_of_boxes_ends_with_a_table(run: Run, boxes: Path) -> None:
    assert run("train", "-m", *TRAIN, "k=2,3", "dataset.samples=200", "trainer.max_epochs=1", "base.max_epochs=1") == 0
    (table,) = boxes.rglob("sweep.csv")
    assert pd.read_csv(table)["test/degraded_iou"].notna().all()
