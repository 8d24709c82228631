"""Whether places are kept apart follows from the encoder and the architecture, and what cannot be is said in a line."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor, nn

from parity_exp.coding import PlacesDecoder, ResidualDecoder
from parity_exp.errors import ConfigError
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.config_folder import config_folder
from parity_exp.models.places import Folded, PatchesByPlace, PooledByPlace
from parity_exp.training import Optimisation


class OwnResNet(nn.Module):
    """Somebody's network, which declares nothing."""

    def __init__(self, input_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(input_shape[0], 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, outputs)

    def forward(self, queries: Tensor) -> Tensor:
        maps = self.first(queries).relu()
        outputs: Tensor = self.head((maps + self.second(maps)).relu().mean((2, 3)))
        return outputs


class Unaware(nn.Module):
    """Somebody's network of fully connected layers, which declares nothing."""

    def __init__(self, input_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))

    def forward(self, queries: Tensor) -> Tensor:
        outputs: Tensor = self.layers(queries)
        return outputs


class Fixed(nn.Module):
    """Somebody's network, for images of one size."""

    def __init__(self, input_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(input_shape[0], 4, 3, padding=1)
        self.head = nn.Linear(4 * 16 * 16, outputs)

    def forward(self, queries: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.convolution(queries).flatten(1))
        return outputs


def experiment(*overrides: str) -> Experiment:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", ["dataset=digits", *overrides])
    OmegaConf.resolve(config)
    return Experiment(config)


@pytest.mark.parametrize(
    ("overrides", "decoder", "network"),
    [
        (["architecture=lenet"], PlacesDecoder, Folded),
        (["architecture=resnet18", "architecture.width=8"], PlacesDecoder, PooledByPlace),
        (["architecture=vit"], PlacesDecoder, PatchesByPlace),
        (["architecture=mlp"], ResidualDecoder, nn.Module),
        (["architecture=torchvision", "architecture.name=mobilenet_v3_small"], ResidualDecoder, nn.Module),
        (["architecture._target_=" + f"{__name__}.OwnResNet", "~architecture.hidden"], PlacesDecoder, PooledByPlace),
        (["architecture._target_=" + f"{__name__}.Unaware", "~architecture.hidden"], ResidualDecoder, nn.Module),
        (["architecture._target_=" + f"{__name__}.Fixed", "~architecture.hidden"], ResidualDecoder, nn.Module),
    ],
)
def test_the_best_recipe_chooses_by_architecture(overrides: list[str], decoder: type, network: type) -> None:
    made = experiment("encoder=concat", "k=4", *overrides)
    assert type(made.code.decoder) is decoder
    if network is not nn.Module:
        networks = made.new_parity_networks()
        assert isinstance(networks[0], network)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["architecture._target_=" + f"{__name__}.Fixed", "~architecture.hidden"],
            r"Fixed\) cannot keep places apart: no place of 8x8 pixels: .*; choose decoder=residual",
        ),
        (
            ["architecture=torchvision", "architecture.name=mobilenet_v3_small"],
            r"k=4 places would take [\d.]+ times the base model's operations",
        ),
    ],
)
@pytest.mark.one_of_many
def test_what_cannot_is_refused_in_a_line(overrides: list[str], line: str) -> None:
    made = experiment("encoder=concat", "decoder=places", "k=4", *overrides)
    with pytest.raises(ConfigError, match=line) as caught:
        made.rehearse()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "highest"),
    [
        (("architecture=lenet", "encoder=concat"), 8e-3),
        (("architecture=vit", "encoder=concat"), 4e-3),
        (("architecture=lenet",), 4e-3),
        (("encoder=concat",), 4e-3),
        (("architecture=lenet", "encoder=concat", "scheduler.max_lr=1e-3"), 1e-3),
    ],
)
@pytest.mark.one_of_many
def test_the_rate_goes_higher_where_convolutional_networks_keep_places_apart(
    overrides: tuple[str, ...], highest: float
) -> None:
    assert highest_rate(experiment("k=4", *overrides).coded_model.optimisation) == pytest.approx(highest)


@pytest.mark.parametrize(("section", "highest"), [("multiplexed_backup", 8e-3), ("base", 4e-3)])
def test_a_multiplexed_backup_gets_the_rate_of_the_parity_model_that_it_is(section: str, highest: float) -> None:
    made = experiment("architecture=lenet", "k=4", "scheduler@base.scheduler=best").labelled_model(section)
    assert highest_rate(made.optimisation) == pytest.approx(highest)


def highest_rate(optimisation: Optimisation) -> float:
    optimizer = optimisation.optimizer([nn.Parameter(torch.zeros(1))])
    assert optimisation.schedule(optimizer, 10) is not None
    rate: float = optimizer.param_groups[0]["max_lr"]
    return rate
