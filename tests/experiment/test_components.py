"""Components get the arguments that their classes take, whatever else the settings of their group steer."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from omegaconf import OmegaConf

from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build, build_checked, for_the_class, takes_whole_numbers
from tests.conftest import QUICK, Run

STEERING = {
    "dataset": ("epochs", "fast_epochs", "base_epochs"),
    "encoder": ("trainable",),
    "decoder": ("trainable",),
    "architecture": ("convolutional",),
    "parity.architecture": ("convolutional",),
    "trainer": ("cuda_graphs", "tf32", "channels_last"),
    "pool": ("instances", "batch_size", "batch_window_ms"),
    "redundancy.mine": ("code",),
}
"""Keys of each group that steer the experiment."""

ALL = sorted({name for names in STEERING.values() for name in names})
OTHERS = (
    "optimizer",
    "scheduler",
    "objective",
    "tracker",
    "load",
    "queue",
    "straggler.mine",
    "generator",
    "base.scheduler",
)


class Takes:
    """Takes every name that steers an experiment somewhere."""

    def __init__(self, own: int = 0, **settings: Any) -> None:
        self.settings = {"own": own, **settings}


class TakesByName(Takes):
    def __init__(
        self, epochs: Any, fast_epochs: Any, base_epochs: Any, trainable: Any, convolutional: Any, cuda_graphs: Any,
        tf32: Any, channels_last: Any, instances: Any, batch_size: Any, batch_window_ms: Any, code: Any, own: int = 0,
    ) -> None:  # fmt: skip
        names = {**locals()}
        super().__init__(own, **{name: names[name] for name in ALL})


class Refuses:
    """Says why it refuses in several lines, as Lightning does; or, given nothing, without a word."""

    def __init__(self, *words: str) -> None:
        raise ValueError("\n ".join(words))


@pytest.fixture(autouse=True)
def my_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_classes")
    module.Takes, module.TakesByName, module.Refuses = Takes, TakesByName, Refuses  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_classes", module)


@pytest.mark.parametrize("key", [*STEERING, *OTHERS])
def test_a_class_gets_what_it_names(key: str) -> None:
    values = {name: place for place, name in enumerate(ALL)}
    node = OmegaConf.create({"_target_": "my_classes.TakesByName", "own": 3, **values})
    assert build(node, key).settings == {"own": 3, **values}


@pytest.mark.parametrize("key", [*STEERING, *OTHERS])
def test_what_steers_the_experiment_goes_to_no_class_that_does_not_name_it(key: str) -> None:
    values = {name: place for place, name in enumerate(ALL)}
    node = OmegaConf.create({"_target_": "my_classes.Takes", **values})
    assert build(node, key).settings.keys() == {"own", *ALL} - set(STEERING.get(key, ()))


def test_a_class_that_cannot_be_found_is_told_of_when_it_is_made() -> None:
    node = OmegaConf.create({"_target_": "nosuch.Encoder", "trainable": True})
    assert "trainable" not in for_the_class(node, "encoder")
    with pytest.raises(ConfigError, match="encoder"):
        build(node, "encoder")


def test_a_value_of_another_type_is_named_with_its_key() -> None:
    node = OmegaConf.create({"_target_": "my_classes.Takes", "own": "many"})
    with pytest.raises(ConfigError, match=r"generator\.own=many: expected a whole number"):
        build_checked(node, "generator", Takes)
    assert takes_whole_numbers(node, "own") and not takes_whole_numbers(node, "other")


def test_a_data_set_of_ones_own_may_ask_for_its_epochs(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "my_conf" / "dataset").mkdir(parents=True)
    (folder / "my_conf" / "dataset" / "mine.yaml").write_text(
        "_target_: my_own_data.Mine\nname: mine\nlimit: 200\nepochs: 7\nbase_epochs: 2\n"
    )
    (folder / "my_own_data.py").write_text(
        "from parity_exp.data import Digits\n"
        "class Mine(Digits):\n"
        "    def __init__(self, epochs: int, **settings):\n"
        "        super().__init__(**settings)\n"
        "        print('epochs of the class:', epochs)\n"
    )
    monkeypatch.syspath_prepend(folder)
    given = ("hydra.searchpath=[file://my_conf]", "dataset=mine", "tracker=none", *QUICK[1:])
    assert run("train", *given) == 0
    assert "epochs of the class: 7" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"), [(["gpus: 2", "but there are: 1"], "gpus: 2 but there are: 1"), ([], "ValueError")]
)
def test_all_that_a_class_says_against_its_arguments_stands_in_one_line(words: list[str], line: str) -> None:
    node = OmegaConf.create({"_target_": "my_classes.Refuses", "_args_": words})
    with pytest.raises(ConfigError) as refusal:
        build(node, "trainer")
    assert str(refusal.value) == f"trainer (my_classes.Refuses): {line}"
