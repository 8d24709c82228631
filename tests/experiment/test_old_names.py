"""Experiments under their old names are what they were, and say what they are called now."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.old_names import OldNamesSource, renamed
from tests.conftest import Run

TABLE = renamed(str(config_folder()))

SETTINGS = {
    # data set, network, samples of a split, epochs of the base model and of the code; None: the data set's
    "cat_v_dog_resnet18": ("cat_v_dog", "ResNet", None, 30, 1000),
    "cat_v_dog_resnet18_small": ("digits", "ResNet", 600, 6, 25),
    "cifar100_resnet152": ("cifar100", "ResNet", None, 100, 1000),
    "cifar10_resnet18": ("cifar10", "ResNet", None, 100, 1000),
    "cifar10_resnet18_small": ("digits", "ResNet", 600, 6, 25),
    "cub_localization_resnet18": ("cub_localization", "ResNet", None, 50, 100),
    "cub_localization_resnet18_small": ("digit_boxes", "LeNet", None, 15, 25),
    "fashion_mnist_mlp": ("fashion_mnist", "MLP", None, 20, 500),
    "fashion_mnist_mlp_small": ("fashion_mnist", "MLP", 10000, 10, 20),
    "fashion_mnist_resnet18": ("fashion_mnist", "ResNet", None, 20, 500),
    "mnist_logistic": ("mnist", "MLP", None, 20, 500),
    "mnist_logistic_small": ("digits", "MLP", None, 30, 100),
    "mnist_mlp": ("mnist", "MLP", None, 20, 500),
    "mnist_mlp_small": ("digits", "MLP", None, 30, 300),
    "mnist_resnet18": ("mnist", "ResNet", None, 20, 500),
    "mnist_resnet18_small": ("digits", "ResNet", 600, 6, 25),
    "speech_commands_lenet": ("speech_commands", "LeNet", None, 30, 1000),
    "speech_commands_lenet_small": ("digits", "LeNet", None, 15, 60),
    "speech_commands_vgg11": ("speech_commands", "VGG11", None, 30, 1000),
    "speech_commands_vgg11_small": ("digits", "VGG11", None, 8, 15),
}
"""What settings were under their old names, but for two small ones, which were those of other settings by mistake."""

SMALL = {
    "boxes": "cub_localization_resnet18", "fashion_mlp": "fashion_mnist_mlp", "lenet": "speech_commands_lenet",
    "logistic": "mnist_logistic", "mlp": "mnist_mlp", "resnet18": "mnist_resnet18",
    "resnet18_cropped": "cifar10_resnet18", "resnet18_resized": "cat_v_dog_resnet18", "vgg11": "speech_commands_vgg11",
}  # fmt: skip
"""Settings by the old names of their small ones, ``setting/small_boxes`` and so on."""

ENCODERS = {
    "addition": "AdditionEncoder",
    "concat": "ConcatenationEncoder",
    "conv": "ConvolutionalEncoder",
    "mlp": "MLPEncoder",
}

LEARNED = {
    # base epochs where they were others than the setting's, samples likewise, epochs of the code
    "cifar10_resnet18_conv": (100, None, 2000), "cifar10_resnet18_mlp": (100, None, 2000),
    "fashion_mnist_mlp_conv_small": (20, 3000, 8), "fashion_mnist_mlp_mlp_small": (10, 10000, 20),
    "mnist_mlp_conv_small": (30, None, 40), "mnist_mlp_mlp_small": (30, None, 300),
    "mnist_logistic_conv_small": (30, None, 40), "mnist_logistic_mlp_small": (30, None, 100),
    **{f"{setting}_resnet18_{encoder}_small": (6, 600, 60) for setting in ("cifar10", "mnist") for encoder in ENCODERS},
}  # fmt: skip
"""Learned codes whose numbers were not their setting's."""

OTHERS: dict[str, dict[str, Any]] = {
    "parm/addition": {"encoder": "AdditionEncoder", "sweep": {"k": "2,3,4"}, "dataset": "digits", "epochs": 300},
    "parm/concat": {"encoder": "ConcatenationEncoder", "sweep": {"k": "2,4"}, "dataset": "digits", "epochs": 300},
    "learned_code/conv": {"encoder": "ConvolutionalEncoder", "trainable": False, "dataset": "digits", "epochs": 300},
    "learned_code/mlp": {"encoder": "MLPEncoder", "trainable": False, "dataset": "digits", "epochs": 300},
    **{
        f"parm_{encoder}_{epochs}_epochs": {
            "dataset": "fashion_mnist", "network": "MLP", "encoder": ENCODERS[encoder], "epochs": epochs,
            "groupings": 3, "objective": "ParityMSE", "sweep": {},
        }
        for encoder, epochs in (("addition", 10), ("addition", 100), ("concat", 10))
    },
    **{
        f"tail_{share}": {"dataset": "fashion_mnist", "instances": 4, "rate_qps": 2 * share, "queries": 20000}
        for share in (50, 70, 85)
    },
}  # fmt: skip

CORRECTED = re.compile(r"(parm/accuracy|learned_code/).*(cifar100_resnet152|fashion_mnist_resnet18)_\w+_small")
"""Those that were another experiment by mistake."""


@cache
def composed(*overrides: str) -> DictConfig:
    """What Hydra makes of overrides; not to be changed."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", list(overrides))


def facts(config: DictConfig) -> dict[str, Any]:
    """What experiments differ by."""
    return {
        "dataset": config.dataset.name,
        "network": config.architecture._target_.rpartition(".")[2],
        "limit": config.dataset.get("limit"),
        "base_epochs": config.base.max_epochs,
        "epochs": config.trainer.max_epochs,
        "encoder": config.encoder._target_.rpartition(".")[2],
        "objective": config.objective._target_.rpartition(".")[2],
        "trainable": config.parity.trainable,
        "groupings": config.evaluation.groupings,
        "sweep": dict(config.sweep),
        "instances": config.pool.instances,
        "rate_qps": config.load.rate_qps,
        "queries": config.load.queries,
    }


def of_setting(setting: str) -> dict[str, Any]:
    names = ("dataset", "network", "limit", "base_epochs", "epochs")
    return dict(zip(names, SETTINGS[setting], strict=True))


def were(name: str) -> dict[str, Any]:
    """What an experiment was in the last release that had it under this name."""
    if name in OTHERS:
        return OTHERS[name]
    kind, _, rest = name.partition("/")
    if kind == "setting":
        small = rest.removeprefix("small_")
        return of_setting(f"{SMALL[small]}_small" if small != rest else rest)
    setting, encoder, size = re.fullmatch(r"(?:accuracy_)?(\w+?)_(addition|concat|conv|mlp)(_small)?", rest).groups()  # type: ignore[union-attr]
    expected = {"encoder": ENCODERS[encoder]}
    if not CORRECTED.fullmatch(name):
        expected |= of_setting(f"{setting}{size or ''}")
    if kind == "parm":
        k = "2" if "cub" in setting else "2,4" if encoder == "concat" else "2,3,4"
        return expected | {"sweep": {"k": k}, "objective": "ParityMSE", "groupings": 3, "trainable": True}
    if rest in LEARNED:
        expected |= dict(zip(("base_epochs", "limit", "epochs"), LEARNED[rest], strict=True))
    objective = "kl" if size or "logistic" in setting else "kl,decoded_mse,cross_entropy"
    sweep = {"k": "2,5", "objective": objective}
    return expected | {"sweep": sweep, "objective": "DecodedKL", "trainable": False, "groupings": 1}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.one_of_many
def test_an_old_name_is_what_it_was(name: str) -> None:
    expected = were(name)
    found = facts(composed(f"experiment={name}"))
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", [*OTHERS, "setting/small_boxes", "learned_code/fashion_mnist_mlp_conv_small"])
@pytest.mark.one_of_many
def test_an_old_name_is_what_its_new_name_is(name: str) -> None:
    old, new = (
        OmegaConf.to_container(composed(*given)) for given in ([f"experiment={name}"], shlex.split(TABLE[name]))
    )
    assert old == new


def test_no_new_name_is_an_old_one() -> None:
    assert [name for name in TABLE if (config_folder() / "experiment" / f"{name}.yaml").exists()] == []
    for now in TABLE.values():
        assert {f"experiment={name}" for name in TABLE}.isdisjoint(shlex.split(now))


@pytest.fixture
def nothing_told() -> Iterator[None]:
    """No old name was met so far."""
    OldNamesSource.told.clear()
    yield
    OldNamesSource.told.clear()


@pytest.mark.usefixtures("nothing_told")
def test_one_line_says_the_new_name(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--cfg", "job", "experiment=parm/accuracy_mnist_mlp_concat_small") == 0
    assert [line for line in capfd.readouterr().err.splitlines() if "experiment=" in line] == [
        "experiment=parm/accuracy_mnist_mlp_concat_small is now experiment=parm/accuracy setting=mnist_mlp_small "
        "encoder=concat 'sweep.k=\"2,4\"'; the old name works in this release alone"
    ]


@pytest.mark.parametrize(
    ("overrides", "key", "wanted"),
    [
        ("experiment=parm/accuracy_mnist_mlp_concat encoder=addition", "encoder", "AdditionEncoder"),
        ("encoder=addition experiment=parm/accuracy_mnist_mlp_concat", "encoder", "AdditionEncoder"),
        ("experiment=parm/accuracy_mnist_mlp_concat setting=cifar10_resnet18", "dataset", "cifar10"),
        ("experiment=parm/accuracy_mnist_mlp_concat dataset=digits", "dataset", "digits"),
        ("experiment=learned_code/mnist_mlp_conv_small trainer.max_epochs=3", "epochs", 3),
        ("experiment=tail_70 load.rate_qps=20", "rate_qps", 20),
        ("experiment=[parm,setting/small_boxes]", "dataset", "digit_boxes"),
    ],
)
@pytest.mark.one_of_many
def test_what_stands_beside_an_old_name_wins(overrides: str, key: str, wanted: object) -> None:
    assert facts(composed(*overrides.split()))[key] == wanted


@pytest.mark.slow
def test_a_multirun_goes_through_old_names(run: Run, folder: Path) -> None:
    quick = ("load.queries=300", "load.warmup=0", "redundancy=[none]", "tracker=none")
    assert run("simulate", "-m", "experiment=tail_50,tail,tail_85", *quick) == 0
    jobs = sorted((folder / "outputs").glob("simulate/multirun/*/*/*/config.yaml"))
    assert [OmegaConf.load(job).load.rate_qps for job in jobs] == [100, 100, 170]


def test_an_experiment_of_ones_own_may_build_on_an_old_name(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine" / "experiment").mkdir(parents=True)
    (folder / "mine" / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /experiment/parm/cluster\n  - /experiment/setting/small_boxes\nk: 4\n"
    )
    assert run("train", "--cfg", "job", "hydra.searchpath=[file://mine]", "experiment=own") == 0
    shown = OmegaConf.create(capfd.readouterr().out)
    assert isinstance(shown, DictConfig)
    assert (
        shown.k == 4 and shown.dataset.name == "digit_boxes" and list(shown.redundancy) == ["equal_resources", "parity"]
    )


def test_lists_of_choices_have_new_names_alone(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "experiment=parm/acuracy") == 2
    shown = capsys.readouterr().err
    assert "accuracy" in shown and "accuracy_mnist" not in shown
