"""What data and training refuse says its keys once it has come to the floor that knows them."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from parity_exp.checks import SettingError
from parity_exp.errors import ConfigError, DataError
from parity_exp.experiment import assembly
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.explanations import explanation


class Refusing:
    """A data set that cannot be loaded."""

    name = "mine"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def load(self) -> None:
        raise self.error


def refused_by(error: Exception, monkeypatch: pytest.MonkeyPatch) -> Exception:
    """What an experiment makes of an error of its data set."""
    monkeypatch.setattr(assembly, "build", lambda *_: Refusing(error))
    experiment = object.__new__(Experiment)
    experiment.config = OmegaConf.create({"dataset": {}})
    experiment._trained = None
    with pytest.raises((ConfigError, DataError)) as refused:
        experiment._load()
    return refused.value


def test_settings_of_data_sets_get_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    error = SettingError("{mean}=[0.5]: expected one number; leave {augmentation} out of {/data}=mine")
    refused = refused_by(error, monkeypatch)
    assert str(refused) == "dataset.mean=[0.5]: expected one number; leave dataset.augmentation out of dataset=mine"


def test_missing_data_say_which_choice_wants_them_and_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    error = DataError("mine: nothing in /a/{b}; set {root} to where it is")
    assert str(error) == "mine: nothing in /a/{b}; set root to where it is"
    refused = refused_by(error, monkeypatch)
    assert str(refused) == "dataset=mine: nothing in /a/{b}; set dataset.root to where it is"


def test_what_data_sets_of_others_say_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert str(refused_by(DataError(f"{tmp_path}: empty"), monkeypatch)) == f"{tmp_path}: empty"


def test_training_that_cannot_go_on_names_keys() -> None:
    line = explanation(SettingError("lower {optimizer.lr} or {base_optimizer.lr}, or set {gradient_clip_val}"))
    assert line == "lower optimizer.lr or base.optimizer.lr, or set optimisation.gradient_clip_val"
