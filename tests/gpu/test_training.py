"""Steps of every kind are recorded on a GPU, and codes of every kind are measured there."""

import logging
from pathlib import Path

import pytest
import torch

from tests.conftest import Run, metrics, run_dirs
from tests.data.files import write_speech_commands
from tests.data.texts import write_table
from tests.stand_in.test_training import CODES, NON_SYSTEMATIC, RECIPES, SETTINGS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")]

BRIEF = ("tracker=none", "trainer.accelerator=gpu", "trainer.max_epochs=2", "base.max_epochs=2")
ENOUGH = ("dataset.limit=1000", "batch_groups=16")
"""Of the digits: more batches in an epoch than are run before steps are recorded."""

NETWORKS = {
    "perceptron": ("architecture=mlp",),
    "lenet": ("architecture=lenet",),
    "resnet": ("architecture=resnet18", "architecture.width=8"),
    "vgg": ("architecture=vgg11", "dataset.limit=300"),
    "mobilenet": ("architecture=mobilenet_v2", "dataset.limit=300"),
    "vision transformer": ("architecture=vit", "architecture.patch=2"),
}

OTHERS = {
    "augmented": ("dataset=digit_boxes", "dataset.copies=1"),
    "one cycle and AdamW": ("optimizer=adamw", "scheduler=one_cycle"),
    "unmixed convolutions": ("architecture=lenet", "acceleration.tf32=false", "acceleration.channels_last=false"),
    "deterministic": ("trainer.deterministic=true", "trainer.benchmark=false"),
}


def check(run: Run, folder: Path, quality: str, *overrides: str) -> None:
    assert run("train", *BRIEF, *overrides) == 0
    (run_dir,) = run_dirs(folder)
    for kind in ("available", "degraded"):
        assert 0 <= metrics(run_dir)[f"test/{kind}_{quality}"] <= 1


def check_recorded(said: pytest.LogCaptureFixture) -> None:
    assert not [record.message for record in said.records if "operation by operation" in record.message]


@pytest.mark.parametrize("name", [*RECIPES, *CODES, *SETTINGS, *OTHERS])
def test_steps_of_every_recipe_and_code_are_recorded(
    run: Run, folder: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with caplog.at_level(logging.WARNING):
        quality = "iou" if name == "augmented" else "accuracy"
        check(run, folder, quality, *ENOUGH, *{**RECIPES, **CODES, **SETTINGS, **OTHERS}[name])
    check_recorded(caplog)


@pytest.mark.parametrize("encoder", ["addition", "concat"])
@pytest.mark.parametrize("network", NETWORKS)
def test_steps_of_every_network_are_recorded_mixed_and_apart(
    run: Run, folder: Path, caplog: pytest.LogCaptureFixture, network: str, encoder: str
) -> None:
    with caplog.at_level(logging.WARNING):
        check(
            run, folder, "accuracy", *ENOUGH, *NETWORKS[network], f"encoder={encoder}", "trainer.precision=bf16-mixed"
        )
    check_recorded(caplog)


@pytest.mark.parametrize("name", NON_SYSTEMATIC)
def test_codes_without_training_are_searched_and_measured(run: Run, folder: Path, name: str) -> None:
    check(run, folder, "accuracy", "dataset.limit=1000", *NON_SYSTEMATIC[name])


def test_texts_are_learned(run: Run, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = write_table(folder / "mails.csv", 600)
    small = ("architecture=text_transformer", "architecture.width=16", "dataset.max_length=16", "batch_groups=16")
    with caplog.at_level(logging.WARNING):
        check(run, folder, "accuracy", "dataset=csv", f"dataset.path={table}", "encoder=concat", "k=3", *small)
    check_recorded(caplog)


def test_sounds_are_learned(run: Run, folder: Path) -> None:
    write_speech_commands(folder / "root")
    few = (
        "dataset=speech_commands",
        "dataset.root=root",
        "architecture.hidden=[8]",
        "base.batch_size=4",
        "batch_groups=2",
    )
    check(run, folder, "accuracy", *few)
