"""How the weights of a parity model start."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from parity_exp.coding import Encoder
from parity_exp.models.places import PlacesApart
from parity_exp.models.token_places import TokensTogether

_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class UnlikeBaseError(ValueError):
    """A parity model cannot start from the base model's weights.

    Args:
        weight: the first one that does not fit.
    """

    def __init__(self, weight: str) -> None:
        super().__init__(
            f"a parity model cannot start from the base model, whose weights do not fit it ({weight}); give both the "
            "same network, or choose another initialisation"
        )
        self.weight = weight


class Initialisation(ABC):
    """Base class of initialisations."""

    @abstractmethod
    def __call__(self, network: nn.Module, base: nn.Module, encoder: Encoder, row: int, centre: Tensor) -> None:
        """Set a network's weights in place.

        Args:
            network: a parity model; it may have extra outputs after those of the base model.
            base: the trained base model.
            encoder: makes the parity queries that the network will see.
            row: which of the r parity models it is.
            centre: what its outputs are to be spread around, ``(outputs,)``: ``sum_i c[j, i]`` times the task's
                centre, zeros for logits and the mean box of the training labels for boxes.
        """


class Default(Initialisation):
    """Leave what PyTorch's layers start from."""

    def __call__(self, network: nn.Module, base: nn.Module, encoder: Encoder, row: int, centre: Tensor) -> None:
        pass


class Paper(Initialisation):
    """ParM's: linear layers from N(0, 0.01), convolutions Xavier uniform for ReLU, batch norm at 1, biases at 0.

    The bias of the last linear layer starts at the centre of what the network is to learn, since of small weights comes
    nothing else at first. For k boxes of one parity query that is k times the mean box, as in ParM's localization;
    logits are spread around 0.
    """

    def __call__(self, network: nn.Module, base: nn.Module, encoder: Encoder, row: int, centre: Tensor) -> None:
        if isinstance(network, PlacesApart):
            centre = centre[: len(centre) // encoder.k]  # every place's is the same
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
            elif isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight, gain=nn.init.calculate_gain("relu"))
            elif isinstance(module, _NORMALISATIONS) and module.affine:
                nn.init.ones_(module.weight)
            else:
                continue
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        linear = _linear_layers(network)
        if linear and linear[-1].bias is not None and len(linear[-1].bias) >= len(centre):
            with torch.no_grad():
                linear[-1].bias[: len(centre)] = centre


class FromBase(Initialisation):
    """Start from the base model's weights; the weights of extra outputs stay as they are.

    Raises:
        UnlikeBaseError: the networks' weights differ in name or shape.
    """

    def __call__(self, network: nn.Module, base: nn.Module, encoder: Encoder, row: int, centre: Tensor) -> None:
        if isinstance(network, PlacesApart | TokensTogether):
            network.start_from(base, encoder.query_shape)
            return
        different = _first_difference(network, base)
        if different is not None:
            raise UnlikeBaseError(different)
        _copy(base, network)


class Split(Initialisation):
    """Start as k narrow copies of the base model side by side, one for each place in the group.

    Every hidden unit belongs to one place. In the first layer, its weights are those of the base model's unit, encoded
    as though they were a query at that place, so that it answers to that query as the base model's unit does and hardly
    to the others. Between hidden layers, only units of the same place are connected; what is left is scaled so that
    sums keep their spread. All places meet in the outputs. Then everything is trained.

    That is for multilayer perceptrons and encoders without weights. Other networks start as the base model, and so does
    what the places share where they are kept apart. Networks of another architecture than the base model's start as
    PyTorch's layers do.
    """

    def __call__(self, network: nn.Module, base: nn.Module, encoder: Encoder, row: int, centre: Tensor) -> None:
        if isinstance(network, PlacesApart | TokensTogether):
            network.start_from(base, encoder.query_shape)
            return
        if _first_difference(network, base) is not None:
            return
        _copy(base, network)
        layers = _linear_layers(network)
        fixed = not list(encoder.parameters()) and encoder.parity_shape == encoder.query_shape
        if not fixed or not _is_perceptron(network) or len(layers) < 2:
            return
        k = encoder.k
        with torch.no_grad():
            first = layers[0].weight
            units = first.view(-1, *encoder.query_shape)
            place_of = torch.arange(len(units), device=units.device) % k
            split = torch.zeros_like(units)
            for place in range(k):
                mine = place_of == place
                split[mine] = _at_place(encoder, row, units[mine], place)
            first.copy_(math.sqrt(k) * split.view_as(first))
            for layer in layers[1:-1]:
                weight, sizes = layer.weight, (layer.in_features, layer.out_features)
                reads, is_of = (torch.arange(size, device=weight.device) % k for size in sizes)
                weight.mul_(math.sqrt(k) * (is_of[:, None] == reads[None]))


def _at_place(encoder: Encoder, row: int, weights: Tensor, place: int) -> Tensor:
    """Weights that answer to a query at a place of the group as the given ones, ``(N, *query)``, do to the query.

    For a sum they are multiplied as the query is; for a concatenation they shrink with it, and grow since fewer pixels
    are left: by the factor that keeps the answer to an image of ones.
    """

    def encoded(query: Tensor) -> Tensor:
        group = query.new_zeros(len(query), encoder.k, *encoder.query_shape)
        group[:, place] = query
        return encoder.encode(group)[:, row]

    ones = encoded(weights.new_ones(1, *encoder.query_shape))
    energy = ones.square().sum()
    factor = ones.numel() / energy if energy > 0 else torch.ones_like(energy)
    return factor * encoded(weights)


def _is_perceptron(network: nn.Module) -> bool:
    """Whether fully connected layers are all that has weights."""
    return all(isinstance(module, nn.Linear) for module in network.modules() if list(module.parameters(recurse=False)))


def _linear_layers(network: nn.Module) -> list[nn.Linear]:
    """In the order in which the network's class has them."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def _copy(base: nn.Module, network: nn.Module) -> None:
    """Give a network the base model's weights, which fit; those of extra outputs stay as they are."""
    ours = network.state_dict()
    with torch.no_grad():
        for key, weight in base.state_dict().items():
            target = ours[key]
            (target if target.shape == weight.shape else target[: len(weight)]).copy_(weight)


def _first_difference(network: nn.Module, base: nn.Module) -> str | None:
    """The first weight of one network that the other lacks or that does not fit; rows for extra outputs do."""
    ours, theirs = network.state_dict(), base.state_dict()
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    last = {f"{linear[-1]}.weight", f"{linear[-1]}.bias"} if linear else set()
    for key in {**ours, **theirs}:
        if key not in ours or key not in theirs:
            return key
        mine, its = ours[key], theirs[key]
        longer = key in last and mine.shape[1:] == its.shape[1:] and len(mine) > len(its)
        if mine.shape != its.shape and not longer:
            return key
    return None
