"""Recipes that leave one part of another out differ from it in that part, and ablations go through all of them."""

from functools import cache
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from parity_exp.api.objects import best_objective
from parity_exp.experiment.components import build
from parity_exp.experiment.config_folder import config_folder
from parity_exp.training import WeightedSum

FOLDER = config_folder() / "recipe"

PARTS = {
    "without/start": ("best", "initialisation"),
    "without/split": ("best", "initialisation"),
    "without/position_code": ("best", "position_code"),
    "without/distillation": ("best", "objective"),
    "without/labels": ("best", "objective"),
    "without/learned_decoder": ("best", "decoder"),
    "without/places": ("best", "decoder"),
    "without/schedule": ("best", "scheduler"),
    "parm_one_cycle": ("parm", "scheduler"),
    "parm_from_base": ("parm", "initialisation"),
}


@cache
def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=False)


def test_every_recipe_without_a_part_is_known_here() -> None:
    assert {f"without/{path.stem}" for path in (FOLDER / "without").glob("*.yaml")} <= PARTS.keys()


@pytest.mark.parametrize("recipe", PARTS)
@pytest.mark.one_of_many
def test_one_part_differs(recipe: str) -> None:
    whole, part = PARTS[recipe]
    theirs, mine = composed(f"recipe={whole}"), composed(f"recipe={recipe}")
    differ = {key for key in theirs if theirs[key] != mine[key]}
    assert differ - {"encoder"} == {part}


@pytest.mark.parametrize("name", ["ablation", "ablation_lenet", "ablation_resnet"])
def test_an_ablation_leaves_each_part_out_once_over_five_seeds(name: str) -> None:
    config = composed(f"experiment=compare/{name}")
    recipes = config["sweep"]["recipe"].split(",")
    other_network = (
        {"without/places", "without/labels"} if name == "ablation" else {"without/split", "without/position_code"}
    )
    assert sorted(recipes) == sorted({"best", "parm", *PARTS} - other_network)
    assert config["sweep"]["seed"] == "0,1,2,3,4" and config["sweep"]["k"] == "2,4"
    assert config["base"]["seed"] == 0


@pytest.mark.parametrize("name", ["ablation", "ablation_lenet"])
def test_a_small_ablation_leaves_out_the_same_over_as_many_seeds(name: str) -> None:
    whole, small = (composed(f"experiment=compare/{one}")["sweep"] for one in (name, f"{name}_small"))
    assert small["recipe"] == whole["recipe"] and small["seed"] == whole["seed"]


@pytest.mark.parametrize("name", ["equal_compute", "equal_compute_lenet", "equal_compute_small"])
@pytest.mark.one_of_many
def test_equal_compute_has_equal_epochs_twice_as_many_and_the_authors(name: str) -> None:
    config = composed(f"experiment=compare/{name}")
    epochs = [int(one) for one in config["sweep"]["trainer.max_epochs"].split(",")]
    equal = composed(f"experiment=compare/ablation{name.removeprefix('equal_compute')}")["trainer"]["max_epochs"]
    assert epochs == [equal, 2 * equal, 500] and config["sweep"]["recipe"] == "parm"


def test_from_python_the_objective_is_the_recipes() -> None:
    def told(objective: Any) -> Any:
        if isinstance(objective, WeightedSum):
            terms = {name: (weight, told(term)) for name, (weight, term) in objective.weighted.items()}
            return {**terms, "apart": told(getattr(objective, "apart", None))}
        return type(objective), vars(objective) if objective else None

    built = build(OmegaConf.create(composed("recipe=best")["objective"]), "objective")
    assert told(built) == told(best_objective())
    assert told(built)["apart"]["labels"][0] == 1
