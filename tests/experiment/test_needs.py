"""What a code needs is read from a config or a run, and no network is made for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from parity_exp.coding import Decoder
from parity_exp.errors import ConfigError
from parity_exp.experiment.capacity import plan_arguments
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.job import resolved
from parity_exp.experiment.needs import declared_needs, settle_places
from parity_exp.experiment.simulation import simulation_arguments
from parity_exp.models.checkpoint import save_weights
from parity_exp.policies.needs import Needs
from parity_exp.recordings.run_directory import RunDirectory
from tests.conftest import Run, Trained, metrics, run_dirs

CONVOLUTIONAL = ("encoder=concat", "architecture=lenet")
APART, SUM = Needs(2, (2, 0)), Needs(2, (2, 1))


class Impatient(Decoder):
    """Gives all predictions back as soon as one own prediction and one parity output are there."""

    @classmethod
    def repairs(cls, losses: Any, parities: Any) -> Any:
        return (losses == 0) | ((losses <= 2) & (parities >= 1))

    def reconstruct(self, predictions: Any, available: Any, parities: Any, parity_available: Any) -> Any:
        return parities[:, :1].expand_as(predictions)


class Mute:
    """No decoder."""


def config_of(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return resolved(compose("config", list(overrides)))


@pytest.mark.parametrize(
    ("overrides", "needs"),
    [
        ([], SUM),
        (["decoder=places"], APART),
        (["decoder=places", "k=4", "r=2"], Needs(4, (4, 0, 0))),
        (["recipe=parm", "k=4", "r=2"], Needs(4, (4, 3, 2))),
        (["recipe=learning_a_code"], SUM),
        (["decoder=mlp"], SUM),
        (CONVOLUTIONAL, APART),
        ([*CONVOLUTIONAL, "decoder.apart=false"], SUM),
        ([*CONVOLUTIONAL, "decoder.extra_outputs=3"], SUM),
        ([*CONVOLUTIONAL, "parity.trainable=false"], SUM),
        (["architecture=lenet"], SUM),
        (["encoder=concat", "architecture=lenet", "architecture@parity.architecture=mlp"], SUM),
        (["code=berrut", "redundancy=[coded]"], None),
        (["k=3", "decoder=subtraction", f"decoder._target_={__name__}.Impatient"], Needs(3, (3, 1))),
    ],
)
@pytest.mark.one_of_many
def test_the_decoder_of_a_config_says_what_it_needs(overrides: list[str], needs: Needs | None) -> None:
    config = config_of(*overrides)
    assert declared_needs(config) == needs
    assert simulation_arguments(config)["code"] == needs


def test_capacity_plans_take_the_same_declaration() -> None:
    config = config_of("decoder=places", "load.rate_qps=100", "plan.slo_ms=[100]")
    assert plan_arguments(config)["code"] == APART


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["decoder._target_=parity_exp.coding.NoDecoder"], "decoder._target_=parity_exp.coding.NoDecoder: "),
        (
            [f"decoder._target_={__name__}.Mute"],
            f"decoder._target_={__name__}.Mute: expected a subclass of parity_exp.",
        ),
        (["decoder=subtraction", "~decoder._target_"], "decoder={}: expected the settings of a config group"),
    ],
)
def test_what_does_not_say_it_is_refused_in_one_line(overrides: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declared_needs(config_of(*overrides))
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("has_decoder", "needs"), [(False, APART), (True, SUM)])
def test_a_run_whose_network_declares_nothing_shows_by_its_checkpoints(
    tmp_path: Path, has_decoder: bool, needs: Needs
) -> None:
    run = RunDirectory(tmp_path)
    config = config_of("encoder=concat", "architecture._target_=torchvision.models.alexnet")
    run.checkpoints.mkdir()
    save_weights(run.checkpoint("decoder"), "decoder", {"weight": torch.ones(1)} if has_decoder else {})
    settle_places(config, run)
    assert declared_needs(config) == needs


def test_a_trained_run_is_simulated_with_its_own_code(
    trained: Trained, run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_run = f"run={trained('k=3', 'recipe=parm')}"
    small = ("load.queries=300", "redundancy=[parity]", "tracker=none")
    assert run("simulate", of_run, *small) == 0
    (simulated,) = run_dirs(folder, "simulate")
    assert metrics(simulated)["simulate/parity/queries"] == 300
    assert metrics(simulated)["simulate/parity/instances"] == 4 + 2  # ceil(4 / 3) on top, for k = 3
    capsys.readouterr()
    assert run("simulate", of_run, *small, "decoder=places") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "decoder=places: with run= the experiment stays as it was" in line
