"""Data sets of many files, from the official files to metrics."""

from pathlib import Path

import pytest

from tests.conftest import QUICK, Run, metrics, run_dirs
from tests.data.files import write_cub, write_image_folder, write_speech_commands

SMALL = (*QUICK, "tracker=none", "dataset.root=root", "batch_groups=2", "base.batch_size=4")


@pytest.mark.parametrize("encoder", ["addition", "concat"])
@pytest.mark.slow
def test_speech_is_trained_on_and_evaluated(run: Run, folder: Path, encoder: str) -> None:
    write_speech_commands(folder / "root")
    chosen = ("dataset=speech_commands", "architecture=lenet", "architecture.hidden=8", f"encoder={encoder}", "k=3")
    assert run("train", *SMALL, *chosen, "dataset.limit=null") == 0
    (trained,) = run_dirs(folder)
    assert 0 <= metrics(trained)["test/degraded_accuracy"] <= 1
    assert run("evaluate", f"run={trained}", "tracker=none") == 0
    (evaluated,) = run_dirs(folder, "evaluate")
    assert metrics(evaluated)["test/degraded_accuracy"] == metrics(trained)["test/degraded_accuracy"]


@pytest.mark.parametrize("dataset", ["image_folder", "cat_v_dog"])
@pytest.mark.slow
def test_images_are_trained_on_with_augmentation(run: Run, folder: Path, dataset: str) -> None:
    write_image_folder(folder / "root")
    chosen = (f"dataset={dataset}", "dataset.size=32", "dataset.resize=36", "architecture=mlp", "encoder=concat")
    assert run("train", *SMALL, *chosen, "k=2", "r=2") == 0
    (trained,) = run_dirs(folder)
    assert metrics(trained)["test/available_accuracy"] >= 0.5


@pytest.mark.parametrize("encoder", ["concat"])
@pytest.mark.slow
def test_boxes_are_trained_on_and_evaluated(run: Run, folder: Path, encoder: str) -> None:
    write_cub(folder / "root" / "CUB_200_2011", 45)
    chosen = ("dataset=cub_localization", "dataset.size=32", "architecture=mlp", "initialisation=paper")
    assert run("train", *SMALL, *chosen, f"encoder={encoder}", "k=2") == 0
    (trained,) = run_dirs(folder)
    values = metrics(trained)
    assert 0 <= values["test/degraded_iou"] <= 1 and 0 <= values["test/available_iou"] <= 1
    assert run("evaluate", f"run={trained}", "tracker=none") == 0
