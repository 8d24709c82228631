"""From what a program gives to the objects of a study: what is left out gets the commands' defaults."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from parity_exp.coding import (
    AdditionEncoder,
    Code,
    Decoder,
    Encoder,
    NonSystematicCode,
    RandomSigns,
    ResidualDecoder,
    SubtractionDecoder,
    precision,
)
from parity_exp.coding.generator import Chebyshev, Generator
from parity_exp.data import Dataset, Splits, TensorData
from parity_exp.models import Initialisation, Split
from parity_exp.training import (
    BestObjective,
    CodedModel,
    DecodedCrossEntropy,
    DecodedDivergence,
    LabelledModel,
    Machine,
    Objective,
    Optimisation,
    ParityMSE,
    Study,
    WeightedSum,
    WholeCode,
    constant,
    one_cycle,
    usual_batch_groups,
)
from parity_exp.training.coded_model import DECODER, ENCODER, PARITY
from parity_exp.training.modules import OptimizerFactory, ScheduleFactory
from parity_exp.training.networks import fitting
from parity_exp.training.seeded import BASE_WEIGHTS, CODE_WEIGHTS, PARITY_WEIGHTS, seeded

Data = Dataset | Splits | tuple[Any, Any]
Network = nn.Module | Callable[..., nn.Module]

OPTIMIZER: OptimizerFactory = partial(torch.optim.Adam, lr=1e-3, weight_decay=1e-5, fused=True)
SCHEDULE: ScheduleFactory = partial(one_cycle, max_lr=4e-3, warmup_fraction=0.3)
BASE_SCHEDULE: ScheduleFactory = constant


def best_objective() -> Objective:
    """As objective=best: distillation; where places are kept apart, the true labels as well."""
    squared = ParityMSE()
    return BestObjective(
        {"divergence": DecodedDivergence(4.0), "mse": squared},
        {"divergence": 1.0, "mse": 0.02},
        apart=WeightedSum(
            {"divergence": DecodedDivergence(2.0), "labels": DecodedCrossEntropy(), "mse": squared},
            {"divergence": 1.0, "labels": 1.0, "mse": 0.02},
        ),
    )


@dataclass(frozen=True)
class Choices:
    """What :func:`parity_exp.train` was given, by the names of its arguments."""

    splits: Splits
    base: Network
    k: int
    r: int
    code: Code | NonSystematicCode | Callable[..., NonSystematicCode] | None
    encoder: Encoder | Callable[..., Encoder] | None
    decoder: Decoder | Callable[..., Decoder] | None
    generator: Generator | None
    parity: Network | None
    frozen: frozenset[str]
    initialisation: Initialisation | None
    objective: Objective | Callable[[], Objective] | None
    epochs: int
    batch_groups: int | None
    optimizer: OptimizerFactory
    schedule: ScheduleFactory
    base_epochs: int
    base_batch_size: int
    base_optimizer: OptimizerFactory
    base_schedule: ScheduleFactory
    seed: int
    trainer: dict[str, Any]

    @property
    def made_encoder(self) -> Encoder | Callable[..., Encoder]:
        """The encoder, or what makes it."""
        if self.encoder is not None:
            return self.encoder
        # Convolutions cannot follow signs that differ from place to place of the image.
        with seeded(self.seed, PARITY_WEIGHTS):
            network = self.network(self.parity or self.base, self.splits.query_shape, self.splits.task.outputs)
        seen = any(isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d) for part in network.modules())
        convolutional = bool(getattr(network, "convolutional", seen))
        return partial(AdditionEncoder, position_code=RandomSigns(0, convolutional))

    @property
    def made_decoder(self) -> Decoder | Callable[..., Decoder]:
        """The decoder, or what makes it."""
        if self.decoder is not None:
            return self.decoder
        # A copy of a network that is made already has no outputs beside those of the base model.
        copied = isinstance(self.parity or self.base, nn.Module) or PARITY in self.frozen
        return SubtractionDecoder if copied else partial(ResidualDecoder, hidden=128)

    @property
    def made_objective(self) -> Callable[[], Objective]:
        """What makes the objective."""
        objective = self.objective
        if isinstance(objective, Objective):
            return lambda: objective
        return best_objective if objective is None else objective

    def network(self, made: Network, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """A network that fits; of one that is given, a copy."""
        network = copy.deepcopy(made) if isinstance(made, nn.Module) else made(shape, outputs)
        if not isinstance(network, nn.Module):
            raise ValueError(f"base: expected a network or what makes one, not what makes {type(network).__name__}")
        return fitting(network, shape, outputs)


def splits_of(data: Data) -> Splits:
    """The splits of a data set, of tensors, or of what is split already.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(data, Splits):
        return data
    if isinstance(data, Dataset):
        return data.load()
    if isinstance(data, tuple) and len(data) == 2:
        return TensorData(*data).load()
    raise ValueError(
        f"data: expected a data set, its splits, or a pair of inputs and labels, not {type(data).__name__}"
    )


def study_of(choices: Choices) -> Study:
    """The study that somebody has chosen.

    Raises:
        ValueError: choices that cannot be, in one line.
    """
    splits, k, r = choices.splits, choices.k, choices.r
    if k < 2 or r < 1:
        raise ValueError(f"k={k} and r={r}: expected 2 or more queries in a group, and 1 or more parity queries")
    smallest = min(len(splits.train), len(splits.validation), len(splits.test))
    if smallest < k:
        raise ValueError(f"k={k}: the data have a split of {smallest} samples only")
    if unknown := sorted(choices.frozen - {ENCODER, DECODER, PARITY}):
        raise ValueError(f"frozen={unknown}: expected some of encoder, decoder and parity")
    settings = dict(choices.trainer)
    accumulate, clip = settings.pop("accumulate_grad_batches", 1), settings.pop("gradient_clip_val", None)
    if settings.get("devices", 1) not in (1, "1", [0]) or settings.get("num_nodes", 1) != 1:
        raise ValueError(
            f"trainer: devices={settings.get('devices')} are for several processes, which are started by the command "
            "`parity-exp train trainer=ddp`; leave devices out"
        )
    machine = Machine.of(**settings)
    base = choices.base

    def new_base() -> nn.Module:
        with seeded(choices.seed, BASE_WEIGHTS):
            return choices.network(base, splits.query_shape, splits.task.outputs)

    labelled = LabelledModel(
        name="base",
        new_network=new_base,
        optimisation=Optimisation(choices.base_optimizer, choices.base_schedule, accumulate, clip),
        epochs=choices.base_epochs,
        batch_size=choices.base_batch_size,
        seed=choices.seed,
        given=_as_it_is if isinstance(base, nn.Module) else None,
    )
    optimisation = Optimisation(choices.optimizer, choices.schedule, accumulate, clip)
    return Study(splits, labelled, _coded(choices, optimisation), machine)


def _as_it_is(network: nn.Module) -> None:
    """The network is a copy of one that is trained."""


def _coded(choices: Choices, optimisation: Optimisation) -> CodedModel | WholeCode:
    code = choices.code
    if isinstance(code, NonSystematicCode):
        return WholeCode(_the_same(code, choices.k), choices.seed)
    if code is not None and not isinstance(code, Code):
        return WholeCode(partial(code, k=choices.k), choices.seed)
    made = _code(choices) if code is None else code
    if (made.k, made.r) != (choices.k, choices.r):
        raise ValueError(f"k={choices.k} and r={choices.r}: the code is for k={made.k} and r={made.r}")
    splits, parity = choices.splits, choices.parity or choices.base
    outputs = splits.task.outputs + made.decoder.extra_outputs

    def new_parities() -> list[nn.Module]:
        with seeded(choices.seed, PARITY_WEIGHTS):
            return [choices.network(parity, made.encoder.parity_shape, outputs) for _ in range(made.r)]

    coders = {ENCODER: made.encoder, DECODER: made.decoder}
    trained = {name for name, part in coders.items() if list(part.parameters())} | {PARITY}
    objective = choices.made_objective()
    objective.check(splits.task)
    if PARITY in choices.frozen and made.decoder.extra_outputs:
        raise ValueError(
            f"frozen: copies of the base model have no extra outputs for the decoder ({type(made.decoder).__name__}); "
            "choose SubtractionDecoder or MLPDecoder, or let the parity models be trained"
        )
    return CodedModel(
        code=made,
        new_networks=None if PARITY in choices.frozen else new_parities,
        initialisation=choices.initialisation or Split(),
        trained=frozenset(trained - choices.frozen),
        objective=objective,
        optimisation=optimisation,
        batch_groups=choices.batch_groups or usual_batch_groups(choices.k),
        epochs=choices.epochs,
        seed=choices.seed,
    )


def _code(choices: Choices) -> Code:
    k, r, splits = choices.k, choices.r, choices.splits
    matrix = (choices.generator or Chebyshev()).matrix(k, r)
    if not precision.growth(matrix) < precision.SINGULAR:
        raise ValueError(f"generator: with k={k} and r={r} some losses cannot be repaired; take Chebyshev()")
    encoder, decoder = choices.made_encoder, choices.made_decoder
    with seeded(choices.seed, CODE_WEIGHTS):
        if not isinstance(encoder, Encoder):
            encoder = encoder(k=k, r=r, query_shape=splits.query_shape, generator=matrix)
        if not isinstance(decoder, Decoder):
            decoder = decoder(k=k, r=r, output_shape=(splits.task.outputs,), generator=matrix)
    return Code(encoder, decoder)


def _the_same(code: NonSystematicCode, k: int) -> Callable[..., NonSystematicCode]:
    """Makes a code that is made already, all of whose settings are chosen."""
    if code.k != k:
        raise ValueError(f"k={k}: the code is for k={code.k}")
    if code.open_settings() or (code.last is None and code.stragglers):
        kind = type(code).__name__
        raise ValueError(f"code: {kind} leaves settings open; give its class, or functools.partial({kind}, ...)")

    def made(**_: Any) -> NonSystematicCode:
        return code

    return made
