"""Every experiment composes, everything in it that needs no data can be made, and the papers' values are in it."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from parity_exp.data import Dataset, Samples, Splits
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.components import build
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.serving import ServingPlan
from tests.conftest import Run, metrics, run_dirs
from tests.data.texts import write_encoder, write_table
from tests.slow_cases import slow_but

FOLDER = config_folder() / "experiment"

TABLES = Path(__file__).parents[2] / "docs" / "results" / "experiments.md"

NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))

OWN = ("fashion_mnist_vit",)
"""Settings that no paper has."""

ALL_SETTINGS = sorted(path.stem for path in (config_folder() / "setting").glob("*.yaml") if "_small" not in path.stem)

SETTINGS = [setting for setting in ALL_SETTINGS if setting not in OWN]

ROWS = re.findall(r"^\| `(\w+)` \| `(addition|concat|conv|mlp)` \|.*\| ([^|]*) \|$", TABLES.read_text(), re.MULTILINE)
"""Settings of the papers with the encoders that they have there, and our numbers."""

EXPERIMENTS = {"addition": "parm/accuracy", "concat": "parm/accuracy", "conv": "learned_code", "mlp": "learned_code"}
"""The experiment that an encoder belongs to."""

SHARED = ("parm/cluster", "parm/gpu_cluster", "parm/small_machines", "parm/small_cluster", "parm/backups")
"""What experiments are made of."""

FIGURES = [
    name
    for name in NAMES
    if name.startswith("parm/")
    and name not in (*SHARED, "parm/accuracy", "parm/sensitivity")
    and not name.endswith("_small")
]
"""Latency experiments of ParM's paper."""

SAMPLES = {
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "cat_v_dog": ((3, 224, 224), 2),
    "speech_commands": ((1, 161, 101), 30),
    "cub_localization": ((3, 224, 224), 0),
    "digits": ((1, 16, 16), 10),
    "digit_boxes": ((1, 28, 28), 0),
}
"""Shape of a query and number of classes, none where a label is a box."""

STAND_INS = dict.fromkeys(("mnist", "cifar10", "cifar100", "cat_v_dog", "speech_commands"), "digits") | {
    "cub_localization": "digit_boxes"
}
"""What small twins have in the place of data that would have to be fetched."""

GPU_RATES = [150, 180, 210, 240, 270, 300, 330, 360, 390]


@cache
def composed(name: str, *overrides: str) -> DictConfig:
    """What Hydra makes of an experiment, its own part included; not to be changed."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", [f"experiment={name}", *overrides], return_hydra_config=True)


def of_row(setting: str, encoder: str) -> tuple[str, ...]:
    """An experiment's name and what is chosen beside it."""
    return EXPERIMENTS[encoder], f"setting={setting}", f"encoder={encoder}"


OF_TEXTS = ("emails_minilm", "emails_minilm_small")
"""Experiments on a table and an encoder of the user's."""

CHOICES = [
    *(name for name in NAMES if name not in OF_TEXTS),
    *(" ".join(of_row(setting, encoder)) for setting, encoder, _ in ROWS),
    *(
        " ".join(of_row(f"{setting}_small", encoder))
        for setting, encoder in {row[0]: row[1] for row in ROWS[::-1]}.items()
    ),
]
"""Every experiment, every setting in those that it is made for, and once its small twin, whose network is the same."""

AT_ONCE = [
    "parm/fig9a", "parm/two_losses_small", "learned_code", "compare/policies_small", "plan/crash", "wrong_answers",
]  # fmt: skip
"""One of each kind; the others are of the same making, and there are too many for quick tests."""


def resolved(name: str, *overrides: str) -> DictConfig:
    """What a command sees of an experiment."""
    whole = composed(name, *overrides)
    config = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    OmegaConf.set_readonly(config, False)
    OmegaConf.set_struct(config, False)
    OmegaConf.resolve(config)
    return config


def grid(config: DictConfig) -> dict[str, list[Any]]:
    """What a multirun goes through."""
    values = {str(key): str(value).split(",") for key, value in config.sweep.items()}
    return {key: [int(word) if word.isdigit() else word for word in words] for key, words in values.items()}


def random_splits(config: DictConfig) -> Splits:
    """A few random samples, shaped as those of the experiment's data set."""
    dataset: Dataset = build(config.dataset, "dataset")
    shape, classes = SAMPLES[config.dataset.name]
    if "size" in config.dataset:
        shape = (shape[0], config.dataset.size, config.dataset.size)
    labels = torch.arange(6) % classes if classes else torch.rand(6, 4)
    samples = Samples(torch.rand(6, *shape), labels)
    task = dataset.task([str(number) for number in range(classes)])
    return Splits(samples, samples, samples, task, dataset.mean, dataset.std, dataset.augmentation)


@cache
def rehearsed(parts: str) -> None:
    """Make everything that an experiment consists of, once for all experiments that have the same parts."""
    config = OmegaConf.create(parts)
    assert isinstance(config, DictConfig)
    experiment = Experiment(config)
    vars(experiment)["splits"] = random_splits(config)
    experiment.rehearse()
    if experiment.systematic:
        assert experiment.code.k == config.k and experiment.code.r == config.r
    else:
        assert experiment.non_systematic_code.k == config.k
    experiment.machine.trainer(config.trainer.max_epochs)()
    ServingPlan(experiment)


@pytest.mark.parametrize(
    "choices", slow_but([*AT_ONCE, "parm/accuracy setting=mnist_mlp_small encoder=addition"], CHOICES)
)
def test_what_needs_no_data_can_be_made(choices: str) -> None:
    config = resolved(*choices.split())
    config.redundancy.pop("oracle", None)  # which only a simulation has
    config.trainer.accelerator = "cpu"
    config.pool.devices = "cpu"
    del config.sweep
    rehearsed(OmegaConf.to_yaml(config))


@pytest.mark.parametrize("name", OF_TEXTS)
@pytest.mark.one_of_many
def test_experiments_on_texts_can_be_made_of_a_table_and_an_encoder(name: str, tmp_path: Path) -> None:
    encoder, mails = write_encoder(tmp_path / "bert"), write_table(tmp_path / "mails.csv")
    given = (f"dataset.path={mails}", f"architecture.path={encoder}", "dataset.max_length=16")
    config = resolved(name, *given, "redundancy=[parity]")
    config.trainer.accelerator = config.pool.devices = "cpu"
    del config.sweep
    experiment = Experiment(config)
    experiment.rehearse()
    assert experiment.splits.texts is not None and experiment.code.decoder.by_place
    assert experiment.code.encoder.parity_shape == (4 * 16,)


@pytest.mark.parametrize("name", slow_but(AT_ONCE, NAMES))
def test_a_multirun_goes_through_what_the_experiment_says(name: str) -> None:
    config = composed(name)
    assert config.hydra.sweeper.params == config.sweep
    last = {key: values[-1] for key, values in grid(config).items()}
    changed = composed(name, *(f"{key}={wanted}" for key, wanted in last.items()))
    for key, wanted in last.items():
        value = OmegaConf.select(changed, key)
        if value is None:  # a group whose choices leave nothing of their own, such as recipes
            assert changed.hydra.runtime.choices[key] == wanted
        elif not isinstance(value, DictConfig):
            assert str(value) == wanted or value == pytest.approx(float(wanted))


def test_each_setting_and_figure_of_the_papers_has_a_small_twin_and_a_row_in_the_table() -> None:
    assert {setting for setting, _, _ in ROWS} == set(SETTINGS)
    assert len({row[:2] for row in ROWS}) == len(ROWS) >= 29
    table = TABLES.read_text()
    for name in FIGURES:
        assert f"{name}_small" in NAMES
        assert f"| `{name}` |" in table
    assert {*ALL_SETTINGS, *(f"{setting}_small" for setting in ALL_SETTINGS)} == {
        path.stem for path in (config_folder() / "setting").glob("*.yaml")
    }


def test_no_two_settings_have_the_same_twin() -> None:
    small = {
        setting: OmegaConf.to_yaml(resolved("parm/accuracy", f"setting={setting}_small")) for setting in ALL_SETTINGS
    }
    assert len(set(small.values())) == len(ALL_SETTINGS)


TWINS = [f"{name}_small" for name in FIGURES] + [f"parm/accuracy setting={setting}_small" for setting in ALL_SETTINGS]


@pytest.mark.parametrize("choices", slow_but([TWINS[0]], TWINS))
def test_small_twins_need_neither_downloads_nor_gpus_nor_time(choices: str) -> None:
    config = resolved(*choices.split())
    assert config.dataset.name in ("digits", "digit_boxes", "fashion_mnist")
    assert config.dataset.name != "fashion_mnist" or config.dataset.limit <= 10_000
    if "setting" not in choices:
        assert config.pool.instances <= 8 and config.load.queries <= 5_000
    assert config.trainer.max_epochs <= 300 and config.trainer.accelerator == "cpu"


@pytest.mark.parametrize("setting", slow_but(["mnist_mlp", *OWN], ALL_SETTINGS))
def test_a_small_twin_has_the_network_of_its_setting_and_of_its_data_what_needs_no_download(setting: str) -> None:
    full, small = (resolved("parm/accuracy", f"setting={setting}{size}") for size in ("", "_small"))
    assert setting.startswith(f"{full.dataset.name}_")
    assert small.dataset.name in (full.dataset.name, STAND_INS.get(full.dataset.name))
    if full.dataset.name != "cub_localization":
        assert small.architecture._target_ == full.architecture._target_


# ---- the papers' values


@pytest.mark.parametrize(
    ("name", "instances", "sweep"),
    [
        ("fig9a", 12, {"load.rate_qps": GPU_RATES}),
        ("fig9b", 24, {"load.rate_qps": [120, 144, 168, 192, 216, 240]}),
        ("fig10", 12, {"k": [2, 3, 4]}),
        ("fig11", 12, {"straggler.shuffle.transfers": [2, 3, 4, 5]}),
        ("fig12", 12, {"load.rate_qps": GPU_RATES}),
        ("fig13", 12, {"load.rate_qps": GPU_RATES}),
        ("batch_size", 12, {"pool.batch_size": [1, 2, 4]}),
    ],
)
@pytest.mark.one_of_many
def test_latency_experiments_are_parms(name: str, instances: int, sweep: dict[str, list[int]]) -> None:
    config = resolved(f"parm/{name}")
    assert config.pool.instances == instances
    assert (config.k, config.r) == (2, 1)
    assert config.load.queries == 100_000
    assert grid(config) == {**sweep, "seed": [0, 1, 2]}
    assert config.dataset.name == "cat_v_dog" and config.architecture.depth == 18
    wanted = ["parity", "approximate_backup"] if name == "fig13" else ["equal_resources", "parity"]
    others = ["hedged", "duplicates", "shared_parity", "adaptive"] if name == "fig9a" else []
    assert list(config.redundancy) == wanted + others
    if others:
        assert list(resolved(f"parm/{name}_small").redundancy) == wanted + others
    if name == "fig12":
        assert list(config.straggler) == ["multitenancy"]
    else:
        assert list(config.straggler) == ["shuffle"]
        assert config.straggler.shuffle.transfers == 4
        assert (config.straggler.shuffle.low_mb, config.straggler.shuffle.high_mb) == (128, 256)
    if name == "fig13":
        assert config.backup.architecture._target_.endswith("MobileNetV2")
        assert config.backup.architecture.width == 0.25
    if name in ("fig10", "fig11"):
        assert config.load.rate_qps == 270
    if name == "batch_size":
        assert config.load.rate_qps == 300


def test_extra_instances_follow_from_the_policy() -> None:
    for overrides, extra in (((), 6), (("k=3",), 4), (("k=4",), 3), (("k=4", "r=2"), 6)):
        config = resolved("parm/fig9a", *overrides)
        experiment = Experiment(config)
        for name, policy in config.redundancy.items():
            roles = build(policy, f"redundancy.{name}", k=experiment.k, r=experiment.r).roles(config.pool.instances)
            assert sum(role.instances for role in roles) == 12 + extra


PARM = [row[:2] for row in ROWS if EXPERIMENTS[row[1]] == "parm/accuracy"]
LEARNED = [row[:2] for row in ROWS if EXPERIMENTS[row[1]] == "learned_code"]


@pytest.mark.parametrize(("setting", "encoder"), slow_but([("mnist_mlp", "addition")], PARM, "-".join))
def test_accuracy_experiments_follow_parms_recipe(setting: str, encoder: str) -> None:
    for size in ("", "_small"):
        config = resolved(*of_row(f"{setting}{size}", encoder))
        assert config.optimizer._target_ == "torch.optim.Adam"
        assert (config.optimizer.lr, config.optimizer.weight_decay) == (1e-3, 1e-5)
        assert config.scheduler._target_.endswith("constant")
        assert config.objective._target_.endswith("ParityMSE")
        assert config.initialisation._target_.endswith("Paper")
        assert config.decoder._target_.endswith("SubtractionDecoder")
        assert config.batch_groups is None, "64 groups for k = 2, otherwise 32"
        assert grid(config) == {"k": [2, 3, 4]}
    config = resolved(*of_row(setting, encoder))
    if "cub" not in setting:
        assert config.trainer.max_epochs == (500 if "mnist" in setting else 1000)


@pytest.mark.parametrize(("setting", "encoder"), slow_but([LEARNED[0]], LEARNED, "-".join))
def test_learned_codes_keep_the_base_model_frozen(setting: str, encoder: str) -> None:
    config = resolved(*of_row(setting, encoder))
    assert config.parity.trainable is False and dict(config.trainable) == {"encoder": None, "decoder": None}
    assert grid(config)["k"] == [2, 5]
    assert config.trainer.max_epochs == (1000 if "cifar10" in setting else 500)


# ---- two of them


@pytest.mark.slow
def test_a_small_accuracy_experiment_runs(run: Run, folder: Path) -> None:
    assert run("train", "experiment=parm/accuracy", "setting=mnist_mlp_small", "tracker=none") == 0
    (trained,) = run_dirs(folder)
    values = metrics(trained)
    assert values["test/available_accuracy"] > 0.9
    assert values["test/degraded_accuracy"] > 0.8


@pytest.mark.slow
def test_two_losses_of_a_group_are_reconstructed_while_serving(run: Run, folder: Path) -> None:
    quick = ("trainer.max_epochs=100", "load.queries=600", "redundancy=[parity]", "tracker=none")
    assert run("run", "experiment=parm/two_losses_small", *quick) == 0
    (directory,) = run_dirs(folder, "run")
    values = metrics(directory)
    assert values["test/losses_1/degraded_accuracy"] > values["test/losses_2/degraded_accuracy"] > 0.3
    queries = pd.read_parquet(directory / "queries-parity.parquet")
    rebuilt = queries[queries["source"] == "reconstructed"].groupby("group").size()
    assert rebuilt.max() == 2, "two parity outputs give two predictions back, not more"
    assert values["serve/parity/losses_2/groups"] == (rebuilt == 2).sum() > 5
    assert values["serve/parity/lost"] == 0
