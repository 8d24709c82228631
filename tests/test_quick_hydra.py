"""What comes of composing is the same, however quickly it is done."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from parity_exp.experiment.config_folder import config_folder
from tests.quick_hydra import quick_hydra

CONFIGS = [
    [],
    ["experiment=parm/fig9a", "k=3"],
    ["experiment=parm/accuracy", "setting=mnist_mlp_small", "encoder=concat", "optimizer@base.optimizer=sgd"],
    ["redundancy=[hedged,parity]", "straggler=[slowdown]", "hydra/launcher=basic"],
]


def composed(overrides: list[str]) -> str:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return OmegaConf.to_yaml(compose("config", overrides, return_hydra_config=True))


@pytest.mark.parametrize("overrides", CONFIGS, ids=" ".join)
def test_a_config_is_what_hydra_makes_of_it(overrides: list[str], quick: pytest.MonkeyPatch) -> None:
    quickly = composed(overrides)
    quick.undo()
    assert composed(overrides) == quickly
    quick_hydra(quick)
