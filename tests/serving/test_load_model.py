"""Networks from plain settings, as instances make them."""

from functools import partial
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from parity_exp.serving.load_model import made

SETTINGS: list[dict[str, Any]] = [
    {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2, "bias": False},
    {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.ReLU"}, {"_target_": "torch.nn.Tanh"}]},
    {"_target_": "builtins.dict", "one": {"_target_": "torch.nn.ReLU"}, "several": [1, {"two": 2}]},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_objects_are_those_that_hydra_makes(settings: dict[str, Any]) -> None:
    assert str(made(settings)) == str(instantiate(OmegaConf.create(settings), _convert_="all"))


def test_arguments_of_the_program_count_and_partials_wait_for_more() -> None:
    linear = {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2}
    assert made(linear, out_features=5).out_features == 5
    waiting = made({"_target_": "torch.nn.Linear", "_partial_": True, "in_features": 3})
    assert isinstance(waiting, partial) and isinstance(waiting(out_features=1), torch.nn.Linear)


@pytest.mark.parametrize("target", ["no_such_module.Net", "torch.nn.NoSuchNet"])
def test_a_class_that_is_not_there_is_named(target: str) -> None:
    with pytest.raises(ImportError, match=target.replace(".", r"\.")):
        made({"_target_": target})
