"""Every recipe, code, task and kind of data set is trained and measured on an accelerator, from the command line."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir

from parity_exp.experiment.config_folder import config_folder
from tests.conftest import Run, metrics, run_dirs
from tests.data.files import write_cub, write_image_folder, write_speech_commands
from tests.data.texts import write_table
from tests.slow_cases import slow_but
from tests.stand_in.forwards import Forwards

BRIEF = (
    "tracker=none", "trainer.accelerator=pretend", "trainer.max_epochs=1", "base.max_epochs=1",
)  # fmt: skip
FEW = ("dataset.limit=80", "architecture.hidden=[8]")
OF_FILES = ("dataset.root=root", "dataset.limit=null", "base.batch_size=4", "batch_groups=2")

RECIPES = {
    "best": ("recipe=best",),
    "fast": ("recipe=fast",),
    "parm": ("recipe=parm",),
    "learning_a_code": ("recipe=learning_a_code",),
    "parm_one_cycle": ("recipe=parm_one_cycle",),
    "parm_from_base": ("recipe=parm_from_base",),
}

CODES = {
    "addition with two parities": ("k=3", "r=2"),
    "linear decoding with two parities": ("recipe=parm", "k=3", "r=2", "generator=cauchy"),
    "concatenation with two parities": ("encoder=concat", "k=4", "r=2"),
    "convolutional with two parities": ("recipe=learning_a_code", "k=3", "r=2"),
    "perceptron": ("recipe=learning_a_code", "encoder=mlp"),
    "learned decoder": ("recipe=parm", "decoder=mlp", "objective=kl"),
    "signs": ("recipe=parm", "position_code=signs", "architecture=lenet", "architecture.hidden=8"),
    "modulation": ("recipe=parm", "position_code=modulation", "initialisation=base"),
    "mixture": ("decoder=mixture", "encoder=concat", "architecture=lenet", "architecture.hidden=8"),
    "residual": ("decoder=residual", "encoder=concat"),
    "vandermonde": ("generator=vandermonde", "decoder=subtraction", "position_code=none", "initialisation=paper"),
}

APART = {
    "lenet": ("architecture=lenet", "architecture.hidden=8", "decoder=places"),
    "vgg": ("architecture=vgg11",),
    "resnet": ("architecture=resnet18", "architecture.width=4"),
    "mobilenet": ("architecture=mobilenet_v2",),
    "vision transformer": ("architecture=vit", "architecture.patch=2", "architecture.width=16"),
}
"""Networks whose parity models keep queries apart that lie side by side."""

NON_SYSTEMATIC = {
    "berrut": ("code=berrut",),
    "nercc": ("code=nercc", "code.encoder_weight=0.001"),
    "two stragglers": ("code=berrut", "code.stragglers=2", "k=3"),
    "byzantine": ("code=berrut", "code.byzantine=1"),
    "barycentric": ("code=barycentric",),
    "b-spline": ("code=b_spline",),
    "different models": ("code=fisher", "members.max_epochs=1"),
    "byzantine nercc": ("code=nercc", "code.byzantine=1", "code.encoder_weight=0", "code.decoder_weight=0.001"),
}

SETTINGS = {
    "mixed precision": ("trainer.precision=bf16-mixed", "objective=cross_entropy"),
    "small models beside it": ("evaluation.backups=[backup,multiplexed_backup]",),
    **{name: (f"objective={name}",) for name in ("decoded_mse", "distillation", "distillation_and_labels")},
    "groups that are alike": ("groups.correlated=0.8",),
    "other steps": (
        "optimisation.accumulate_grad_batches=2", "optimisation.gradient_clip_val=1.0", "optimizer=sgd",
        "scheduler=cosine", "objective=weighted_sum",
    ),
}  # fmt: skip


def trained(run: Run, folder: Path, *overrides: str) -> Path:
    assert run("train", *BRIEF, *overrides) == 0
    (run_dir,) = run_dirs(folder)
    return run_dir


def check_measured(run_dir: Path, quality: str = "accuracy") -> None:
    """Qualities are there, and are what they can be."""
    values = metrics(run_dir)
    for kind in ("available", "degraded", "reconstruction"):
        assert 0 <= values[f"test/{kind}_{quality}"] <= 1


@pytest.mark.parametrize("name", slow_but(["best"], [*RECIPES, *CODES, *SETTINGS]))
def test_systematic_codes_are_trained_and_measured(run: Run, folder: Path, forwards: Forwards, name: str) -> None:
    run_dir = trained(run, folder, *FEW, *{**RECIPES, **CODES, **SETTINGS}[name], "trainer.max_epochs=1")
    check_measured(run_dir)
    assert forwards.only_on("pretend")
    costs = metrics(run_dir)
    assert costs["cost/base_flops"] > 0 and costs["cost/decode_us"] > 0


@pytest.mark.parametrize("name", APART)
@pytest.mark.slow
def test_networks_that_keep_queries_apart_are_trained_and_measured(
    run: Run, folder: Path, forwards: Forwards, name: str
) -> None:
    check_measured(trained(run, folder, "dataset.limit=40", "encoder=concat", "k=4", *APART[name]))
    assert forwards.only_on("pretend")


@pytest.mark.slow
def test_every_choice_of_a_code_is_tried_here() -> None:
    commands = [*RECIPES.values(), *CODES.values(), *APART.values(), *SETTINGS.values(), *NON_SYSTEMATIC.values()]
    tried: dict[str, set[str]] = defaultdict(set)
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        for words in commands:
            choices = compose("config", [*words], return_hydra_config=True).hydra.runtime.choices
            for group, choice in choices.items():
                tried[group].add(choice)
    for group in ("recipe", "code", "encoder", "decoder", "generator", "position_code", "initialisation", "objective"):
        assert {path.stem for path in (config_folder() / group).glob("*.yaml")} <= tried[group], group


@pytest.mark.parametrize("name", NON_SYSTEMATIC)
@pytest.mark.slow
def test_codes_without_training_are_searched_and_measured(
    run: Run, folder: Path, forwards: Forwards, name: str
) -> None:
    check_measured(trained(run, folder, *FEW, *NON_SYSTEMATIC[name]))
    assert forwards.only_on("pretend")


DATA: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "digit_boxes": (
        lambda _: None,
        ("dataset=digit_boxes", "dataset.copies=1", "dataset.limit=100", "architecture.hidden=[8]"),
        "iou",
    ),
    "images in folders, augmented": (
        write_image_folder,
        (*OF_FILES, "dataset=image_folder", "dataset.size=32", "dataset.resize=36", "architecture.hidden=[8]", "r=2"),
        "accuracy",
    ),
    "speech": (write_speech_commands, (*OF_FILES, "dataset=speech_commands", "architecture.hidden=[8]"), "accuracy"),
    "birds in boxes": (
        lambda root: write_cub(root / "CUB_200_2011", 45),
        (*OF_FILES, "dataset=cub_localization", "dataset.size=32", "architecture.hidden=[8]", "initialisation=paper"),
        "iou",
    ),
}


@pytest.mark.parametrize(
    ("name", "code"), [*((name, "parity") for name in DATA), ("digit_boxes", "berrut"), ("speech", "berrut")]
)
@pytest.mark.slow
def test_every_task_and_kind_of_data_set_is_learned(
    run: Run, folder: Path, forwards: Forwards, name: str, code: str
) -> None:
    write, overrides, quality = DATA[name]
    write(folder / "root")
    if code == "berrut":
        overrides = (*(word for word in overrides if word.partition("=")[0] not in ("batch_groups", "initialisation")),)
    check_measured(trained(run, folder, *overrides, f"code={code}"), quality)
    assert forwards.only_on("pretend")


@pytest.mark.parametrize("task", [(), ("task=embedding", "task.width=8")], ids=["classes", "embeddings"])
@pytest.mark.slow
def test_texts_are_learned(run: Run, folder: Path, forwards: Forwards, task: tuple[str, ...]) -> None:
    table = write_table(folder / "mails.csv", 120)
    small = ("architecture=text_transformer", "architecture.width=16", "architecture.depth=1", "dataset.max_length=12")
    run_dir = trained(run, folder, "dataset=csv", f"dataset.path={table}", *small, "encoder=concat", "k=3", *task)
    assert metrics(run_dir)["cost/base_flops"] > 0
    assert forwards.only_on("pretend")


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_and_ends_as_without_the_stop(run: Run, folder: Path) -> None:
    long = ("trainer.max_epochs=3", "scheduler=none", *FEW)
    whole = trained(run, folder, *long)
    assert run("train", *BRIEF, *long, "trainer.max_epochs=2") == 0
    (stopped,) = set(run_dirs(folder)) - {whole}
    assert run("train", f"resume={stopped}", "trainer.max_epochs=3") == 0
    for name in ("parity-0", "decoder"):
        ours, theirs = (weights(run_dir, name) for run_dir in (whole, stopped))
        assert all(torch.allclose(ours[key], theirs[key], atol=1e-6) for key in {*ours, *theirs})
    assert pd.read_csv(stopped / "history.csv")["epoch"].tolist() == [1, 2, 3]
    assert metrics(stopped)["train/epochs"] == metrics(whole)["train/epochs"] == 3


def weights(run_dir: Path, part: str, place: str | None = None) -> dict[str, torch.Tensor]:
    content = torch.load(run_dir / "checkpoints" / f"{part}.ckpt", map_location=place, weights_only=True)
    state: dict[str, torch.Tensor] = content["state_dict"]
    return state


@pytest.mark.slow
def test_checkpoints_are_for_machines_without_the_device(run: Run, folder: Path) -> None:
    run_dir = trained(run, folder, *FEW, "encoder=concat", "recipe=best")
    for part in ("base", "parity-0", "decoder"):
        found = weights(run_dir, part)
        assert found and {tensor.device.type for tensor in found.values()} == {"cpu"}, part
    assert json.loads((run_dir / "environment.json").read_text())["devices"] == ["pretend:0", "pretend:1"]


@pytest.mark.slow
def test_a_run_on_one_device_is_measured_on_another_with_the_same_result(
    run: Run, folder: Path, forwards: Forwards
) -> None:
    run_dir = trained(run, folder, *FEW, "r=2", "k=3")
    forwards.predicting.clear()
    assert run("evaluate", f"run={run_dir}", "trainer.accelerator=cpu") == 0
    assert set(forwards.predicting) == {"cpu"}
    (again,) = run_dirs(folder, "evaluate")
    expected, found = (
        {key: value for key, value in metrics(one).items() if key.startswith("test/")} for one in (run_dir, again)
    )
    assert found == pytest.approx(expected)


@pytest.mark.slow
def test_networks_start_and_learn_as_on_the_cpu(run: Run, folder: Path) -> None:
    """The same seed means the same weights, the same order of samples and nearly the same losses."""
    for accelerator in ("pretend", "cpu"):
        assert run("train", *BRIEF, *FEW, f"trainer.accelerator={accelerator}", f"outputs={accelerator}") == 0
    losses = [pd.read_csv(path)["train/loss"].tolist() for path in sorted(folder.rglob("base_history.csv"))]
    assert len(losses) == 2 and losses[0] == pytest.approx(losses[1], rel=1e-3)
