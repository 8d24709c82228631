"""Settings of the experiment that stood among a component's arguments: old places work, classes get what is theirs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from parity_exp.data import Digits
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.moved_keys import SAID, as_hydra_takes, move, move_stored
from parity_exp.experiment.schema import signature_of
from parity_exp.experiment.schema.checks import HYDRAS
from parity_exp.files.moved_keys import NOW, moved_facts
from tests.conftest import Run, run_dirs

VALUES = {
    "epochs": 7,
    "trainable": False,
    "convolutional": False,
    "accumulate_grad_batches": 3,
    "gradient_clip_val": 0.5,
}
"""Values that no default has; of other keys ``false``, and 7 where the key counts epochs."""


def value(old: str) -> Any:
    key = old.rpartition(".")[2]
    return VALUES.get(key, 7 if key.endswith("epochs") else False)


def composed(*words: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", [as_hydra_takes(word) for word in words])


def targets(node: Any, place: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every component in plain values, with its place."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = [(place, node)] if isinstance(node, dict) and "_target_" in node else []
    return [*found, *(one for name, value in inner for one in targets(value, f"{place}.{name}".lstrip(".")))]


@pytest.mark.parametrize("old", NOW)
@pytest.mark.one_of_many
def test_an_old_place_on_the_command_line_is_the_new_one(old: str) -> None:
    others = ["architecture@parity.architecture=mlp", "architecture@base.architecture=mlp"]
    config = composed(*others, f"{old}={str(value(old)).lower()}")
    lines = move(config)
    assert OmegaConf.select(config, old) is None
    assert len(lines) == 1 and lines[0].startswith(f"{old} ")
    new = NOW[old]
    if new is not None:
        assert OmegaConf.select(config, new) == value(old)
        assert f"is now {new}" in lines[0]
    assert move(config) == [], "once"


@pytest.mark.parametrize("old", [old for old in NOW if not old.startswith(("parity.", "base.", "backup."))])
def test_an_old_place_in_a_stored_config_is_the_new_one(old: str) -> None:
    section, _, key = old.rpartition(".")
    stored = OmegaConf.create({section: {"_target_": "parity_exp.models.MLP", key: value(old)}, "k": 2})
    assert OmegaConf.select(move_stored(stored), NOW[old] or "") == value(old)
    assert OmegaConf.select(move_stored(stored), old) is None and OmegaConf.select(stored, old) == value(old)
    assert moved_facts({old: 1, "k": 2}) == {NOW[old]: 1, "k": 2}


def test_other_words_of_the_command_line_stay() -> None:
    words = [
        "dataset=digits",
        "dataset.limit=5",
        "+dataset.epochs=3",
        "-m",
        "~encoder.trainable",
        "trainer.max_epochs=2",
    ]
    assert [as_hydra_takes(word) for word in words] == words
    assert as_hydra_takes("dataset.epochs=2,3") == "++dataset.epochs=2,3"


def test_interpolations_of_ones_own_find_the_new_place() -> None:
    config = composed(
        "+mine.a=${dataset.epochs}", "+mine.b=${oc.select:dataset.fast_epochs,3}", "trainer.max_epochs=${mine.a}"
    )
    assert move(config) == []
    assert config.mine.a == config.epochs.code == config.trainer.max_epochs and config.mine.b == config.epochs.fast


class Own:
    """Mixed into classes of one's own: keeps what it was given."""

    given: dict[str, Any]


class Mine(Digits, Own):
    def __init__(self, epochs: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.given = {"epochs": epochs}


class Anything(Own):
    def __init__(self, **settings: Any) -> None:
        self.given = settings


class OwnTrainer(Trainer, Own):
    def __init__(self, gradient_clip_val: float, **settings: Any) -> None:
        super().__init__(**settings)


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mine")
    vars(module).update(Mine=Mine, Anything=Anything, OwnTrainer=OwnTrainer)
    monkeypatch.setitem(sys.modules, "mine", module)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("words", "old"),
    [
        (["dataset._target_=mine.Mine", "dataset.epochs=9"], "dataset.epochs"),
        (["encoder._target_=mine.Anything", "encoder.trainable=9"], "encoder.trainable"),
        (["architecture._target_=mine.Anything", "architecture.convolutional=9"], "architecture.convolutional"),
        (["trainer._target_=mine.OwnTrainer", "trainer.gradient_clip_val=9"], "trainer.gradient_clip_val"),
    ],
)
@pytest.mark.one_of_many
def test_what_a_class_of_ones_own_takes_is_its_own(words: Sequence[str], old: str) -> None:
    config = composed(*words)
    new = NOW[old]
    assert new is not None
    before = OmegaConf.select(config, new)
    assert move(config) == []
    assert OmegaConf.select(config, old) == 9 and OmegaConf.select(config, new) == before


@pytest.mark.usefixtures("mine")
def test_what_lightning_takes_and_never_got_is_the_experiments() -> None:
    config = composed("trainer._target_=mine.OwnTrainer", "trainer.accumulate_grad_batches=4")
    assert len(move(config)) == 1
    assert config.optimisation.accumulate_grad_batches == 4


READ_BY_OTHERS = {"pool": {"instances", "batch_size", "batch_window_ms"}, "redundancy": {"code"}}
"""What a policy and its queue are made with as well; a pool or policy of one's own that can take it gets it."""


@pytest.mark.parametrize(
    "words",
    [
        ["redundancy=[equal_resources,parity,shared_parity,hedged,approximate_backup,nercc]"],
        ["recipe=learning_a_code", "pool=ray", "dataset=cifar10", "trainer=gpu", "architecture=vgg11"],
        ["recipe=parm", "encoder=concat", "code=berrut", "dataset=cat_v_dog"],
    ],
)
def test_no_node_of_a_component_has_a_key_that_its_class_does_not_take(words: list[str]) -> None:
    for place, node in targets(OmegaConf.to_container(composed(*words), resolve=True)):
        signature = signature_of(node["_target_"], frozenset())
        others = {*node} - {*HYDRAS} - {*signature.arguments}
        assert signature.open or others <= READ_BY_OTHERS.get(place.partition(".")[0], set()), place


def test_a_job_says_what_has_another_place_and_does_it(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quick = (
        "dataset.limit=100",
        "trainer.max_epochs=1",
        "base.max_epochs=1",
        "trainer.accelerator=cpu",
        "tracker=none",
    )
    SAID.clear()
    assert run("train", *quick, "trainer.gradient_clip_val=0.5", "decoder.trainable=false", "dataset.epochs=3") == 0
    said = [line for line in capfd.readouterr().err.splitlines() if " is now " in line]
    assert [line.split()[0] for line in said] == ["dataset.epochs", "decoder.trainable", "trainer.gradient_clip_val"]
    (directory,) = run_dirs(folder)
    config = OmegaConf.load(directory / "config.yaml")
    assert config.optimisation.gradient_clip_val == 0.5 and config.trainable.decoder is False
    assert config.epochs.code == 3 and "gradient_clip_val" not in config.trainer
