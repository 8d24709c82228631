"""Components get the arguments that their classes take, whatever else the settings of their group steer."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from omegaconf import OmegaConf

from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build, build_checked, takes_whole_numbers
from parity_exp.files.moved_keys import NOW
from tests.conftest import QUICK, Run

NAMES = sorted({*(key.rpartition(".")[2] for key in NOW), "instances", "batch_size", "batch_window_ms", "code"})
"""Names of settings that are, or were, an experiment's beside a component's own."""

PLACES = (
    "dataset", "encoder", "decoder", "architecture", "parity.architecture", "trainer", "pool", "redundancy.mine",
    "optimizer", "scheduler", "objective", "tracker", "load", "queue", "straggler.mine", "generator", "base.scheduler",
)  # fmt: skip


class Takes:
    """Takes every name that steers an experiment somewhere."""

    def __init__(self, own: int = 0, **settings: Any) -> None:
        self.settings = {"own": own, **settings}


class TakesByName:
    def __init__(
        self, epochs: Any, fast_epochs: Any, base_epochs: Any, trainable: Any, convolutional: Any, cuda_graphs: Any,
        tf32: Any, channels_last: Any, accumulate_grad_batches: Any, gradient_clip_val: Any, instances: Any,
        batch_size: Any, batch_window_ms: Any, code: Any, own: int = 0,
    ) -> None:  # fmt: skip
        self.settings = {name: value for name, value in locals().items() if name != "self"}


class TakesNone:
    """Takes nothing that is not its own."""

    def __init__(self, own: int = 0) -> None:
        self.settings = {"own": own}


class Refuses:
    """Says why it refuses in several lines, as Lightning does; or, given nothing, without a word."""

    def __init__(self, *words: str) -> None:
        raise ValueError("\n ".join(words))


@pytest.fixture(autouse=True)
def my_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_classes")
    vars(module).update(Takes=Takes, TakesByName=TakesByName, TakesNone=TakesNone, Refuses=Refuses)
    monkeypatch.setitem(sys.modules, "my_classes", module)


@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize("name", ["TakesByName", "Takes"])
def test_a_class_gets_all_that_its_node_has(key: str, name: str) -> None:
    values = {name: place for place, name in enumerate(NAMES)}
    node = OmegaConf.create({"_target_": f"my_classes.{name}", "own": 3, **values})
    assert build(node, key).settings == {"own": 3, **values}


def test_a_pool_of_ones_own_need_not_know_what_a_policy_makes_of_it() -> None:
    node = OmegaConf.create({"_target_": "my_classes.TakesNone", "instances": 4, "batch_size": 1, "batch_window_ms": 2})
    assert build(node, "pool").settings == {"own": 0}


def test_a_class_that_cannot_be_found_is_told_of_when_it_is_made() -> None:
    node = OmegaConf.create({"_target_": "nosuch.Pool", "instances": 4})
    with pytest.raises(ConfigError, match="pool"):
        build(node, "pool")


def test_a_value_of_another_type_is_named_with_its_key() -> None:
    node = OmegaConf.create({"_target_": "my_classes.Takes", "own": "many"})
    with pytest.raises(ConfigError, match=r"generator\.own=many: expected a whole number"):
        build_checked(node, "generator", Takes)
    assert takes_whole_numbers(node, "own") and not takes_whole_numbers(node, "other")


@pytest.mark.slow
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


def test_what_nobody_has_chosen_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="objective: nothing is chosen; write objective=NAME"):
        build(None, "objective")


def test_a_class_that_does_not_take_what_its_place_is_given_hears_what_that_is() -> None:
    with pytest.raises(ConfigError, match=r"architecture \(my_classes.TakesNone\): .*; .* take the arguments outputs$"):
        build(OmegaConf.create({"_target_": "my_classes.TakesNone"}), "architecture", outputs=10)
