"""Policies that weigh accuracies get those that a run has measured, unless they are given others."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.scenario import accuracy_of, policy
from parity_exp.policies import Autopilot
from parity_exp.recordings.run_directory import RunDirectory


def config(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        made = compose("config", ["redundancy=[autopilot,parity]", "redundancy.autopilot.point_cost=0.02", *overrides])
    OmegaConf.set_struct(made, False)
    del made.sweep
    OmegaConf.resolve(made)
    return made


def weighed(composed: DictConfig, accuracy: list[float] | None) -> float:
    made = policy(composed, "autopilot", accuracy)
    assert isinstance(made, Autopilot)
    return made.reconstruction_cost


def test_the_run_s_accuracies_count_where_no_others_are_given() -> None:
    assert weighed(config(), [0.9, 0.8]) == pytest.approx(0.2)
    assert weighed(config("redundancy.autopilot.accuracy=[0.9,0.7]"), [0.9, 0.8]) == pytest.approx(0.4)
    assert weighed(config(), None) == 0
    assert policy(config(), "parity", [0.9, 0.8]).k == 2, "others need none"


def test_a_run_says_its_accuracies_if_it_has_measured_them(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert accuracy_of(run) is None
    (tmp_path / "metrics.json").write_text(json.dumps({"test/available_accuracy": 0.9}))
    assert accuracy_of(run) is None
    both = {"test/available_accuracy": 0.9, "test/degraded_accuracy": 0.8}
    (tmp_path / "metrics.json").write_text(json.dumps(both))
    assert accuracy_of(run) == [0.9, 0.8]
