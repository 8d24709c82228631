"""Codes, initialisations, tasks and checks work wherever they and their arguments are, and name no device."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from parity_exp.coding import (
    AdditionEncoder,
    BerrutCode,
    Chebyshev,
    Code,
    ConcatenationEncoder,
    ConvolutionalEncoder,
    Decoder,
    Encoder,
    MLPDecoder,
    MLPEncoder,
    NonSystematicCode,
    ResidualDecoder,
    SplineCode,
    SubtractionDecoder,
    loss_patterns,
)
from parity_exp.coding.consistency import Consistency
from parity_exp.data import CropAndFlip, RandomResizedCropAndFlip
from parity_exp.data.augmentation import Augmentation
from parity_exp.models import MLP, Default, FromBase, Initialisation, Paper, Split
from parity_exp.tasks import Classification, Localization, Task

THERE = torch.device("pretend", 0)
SHAPE, SIZE, K, R = (1, 6, 6), 4, 3, 2
GENERATOR = Chebyshev().matrix(K, R)

ENCODERS: dict[str, Callable[[], Encoder]] = {
    kind.__name__: lambda kind=kind: kind(K, R, SHAPE, GENERATOR)  # type: ignore[misc]
    for kind in (AdditionEncoder, ConcatenationEncoder, ConvolutionalEncoder, MLPEncoder)
}
DECODERS: dict[str, Callable[[], Decoder]] = {
    kind.__name__: lambda kind=kind: kind(K, R, (SIZE,), GENERATOR)  # type: ignore[misc]
    for kind in (SubtractionDecoder, ResidualDecoder, MLPDecoder)
}
WHOLE: dict[str, Callable[[], NonSystematicCode]] = {
    "berrut": lambda: BerrutCode(K, 2),
    "spline": lambda: SplineCode(K, 1, encoder_weight=1e-3, decoder_weight=0),
    "byzantine": lambda: BerrutCode(K, 1, byzantine=1),
}


def same(there: Tensor, here: Tensor) -> bool:
    """Whether a result is on the device and is what the CPU makes of the same."""
    return there.device == THERE and torch.allclose(there.cpu(), here, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_encode_where_they_are(name: str) -> None:
    here = ENCODERS[name]().eval()
    there = copy.deepcopy(here).to(THERE)
    queries = torch.rand(5, K, *SHAPE)
    assert same(there.encode(queries.to(THERE)), here.encode(queries))
    out = torch.empty(here.parity_shape)
    out_there = out.to(THERE)
    here.encode_group(list(queries[0]), 1, out)
    there.encode_group(list(queries[0].to(THERE)), 1, out_there)
    assert same(out_there, out)


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_decode_where_they_are(name: str) -> None:
    torch.manual_seed(0)
    here = DECODERS[name]().eval()
    there = copy.deepcopy(here).to(THERE)
    predictions, parities = torch.randn(5, K, SIZE), torch.randn(5, R, SIZE + here.extra_outputs)
    patterns = torch.cat([loss_patterns(K, losses) for losses in (1, 2)])
    ours = Code(AdditionEncoder(K, R, SHAPE, GENERATOR), here)
    theirs = Code(AdditionEncoder(K, R, SHAPE, GENERATOR), there)
    on = predictions.to(THERE), parities.to(THERE), patterns.to(THERE)
    assert same(theirs.decode_patterns(*on), ours.decode_patterns(predictions, parities, patterns))
    assert same(there.targets(on[0]), here.targets(predictions))
    there.calibrate(on[0])
    here.calibrate(predictions)
    groups: list[tuple[list[Tensor | None], list[Tensor | None]]] = [
        ([None, *own[0][1:-1], None], [*outputs[0]]) for own, outputs in ((predictions, parities), on[:2])
    ]
    assert same(there.decode_group(*groups[1], 0), here.decode_group(*groups[0], 0))


@pytest.mark.parametrize("name", WHOLE)
def test_codes_over_copies_of_the_base_model_work_where_answers_are(name: str) -> None:
    code = WHOLE[name]()
    queries = torch.rand(5, K, *SHAPE)
    coded = code.encode(queries)
    assert same(code.encode(queries.to(THERE)), coded)
    answers = coded.flatten(2)
    answered = torch.ones(5, code.n, dtype=torch.bool)
    answered[1:3, 0] = False
    there = answers.to(THERE), answered.to(THERE)
    assert same(code.decode(*there), code.decode(answers, answered))
    assert torch.equal(code.wrong(*there).cpu(), code.wrong(answers, answered))
    out, out_there = torch.empty(SHAPE), torch.empty(SHAPE, device=THERE)
    code.encode_group(list(queries[0]), 1, out)
    code.encode_group(list(queries[0].to(THERE)), 1, out_there)
    assert same(out_there, out)
    group = [list(numbers[0]) for numbers in (answers, there[0])]
    assert same(code.decode_group(group[1]), code.decode_group(group[0]))


@pytest.mark.parametrize(
    "initialisation", [Default(), Paper(), FromBase(), Split()], ids=lambda one: type(one).__name__
)
@pytest.mark.parametrize("encoder", ["AdditionEncoder", "ConcatenationEncoder"])
def test_networks_are_initialised_where_they_are(initialisation: Initialisation, encoder: str) -> None:
    made = ENCODERS[encoder]().to(THERE)
    network, base = (MLP(SHAPE, SIZE, [9]).to(THERE) for _ in range(2))
    initialisation(network, base, made, 1, torch.zeros(SIZE, device=THERE))
    assert all(weight.device == THERE and weight.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize("task", [Classification("abcd"), Localization()], ids=lambda task: type(task).__name__)
def test_tasks_judge_where_predictions_are(task: Task) -> None:
    labels = torch.arange(6) % SIZE if task.class_names else torch.rand(6, SIZE)
    own, rebuilt = torch.rand(6, SIZE), torch.rand(6, SIZE)
    on = own.to(THERE), rebuilt.to(THERE), labels.to(THERE)
    for name, values in task.scores(own, labels).items():
        assert same(task.scores(on[0], on[2])[name], values), name
    assert same(task.differences(*on[:2]), task.differences(own, rebuilt))
    assert same(task.base_loss(on[0], on[2]), task.base_loss(own, labels))
    assert same(task.divergence(*on[:2], 2.0), task.divergence(own, rebuilt, 2.0))
    assert same(task.default(on[2]), task.default(labels)) and same(task.centre(on[2]), task.centre(labels))


@pytest.mark.parametrize("decoder", ["SubtractionDecoder", "ResidualDecoder"])
def test_groups_are_checked_where_their_outputs_are(decoder: str) -> None:
    here = DECODERS[decoder]().eval()
    predictions = torch.randn(40, K, SIZE)
    parities = torch.zeros(40, R, SIZE + here.extra_outputs)
    parities[..., :SIZE] = here.targets(predictions) + 0.01 * torch.randn(40, R, SIZE)
    task = Classification("abcd")
    ours = Consistency(here, task.differences, predictions, parities, 0.01)
    there = copy.deepcopy(here).to(THERE)
    theirs = Consistency(there, task.differences, predictions.to(THERE), parities.to(THERE), 0.01)
    spoilt = predictions[0].clone()
    spoilt[1] += 50
    assert theirs.wrong(spoilt.to(THERE), parities[0].to(THERE)) == ours.wrong(spoilt, parities[0]) == (1,)


@pytest.mark.parametrize("augmentation", [CropAndFlip(2), RandomResizedCropAndFlip()], ids=["crop", "resize"])
def test_images_are_augmented_where_they_are_with_the_same_draws(augmentation: Augmentation) -> None:
    images = torch.rand(4, 3, 8, 8)
    there, here = (augmentation(given, torch.Generator("cpu").manual_seed(3)) for given in (images.to(THERE), images))
    assert same(there, here)


def test_a_parameter_left_behind_is_found() -> None:
    """What is no parameter and no buffer stays when its module moves."""

    class Forgetful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = torch.ones(SIZE)

        def forward(self, queries: Tensor) -> Tensor:
            return queries + self.shift

    with pytest.raises(RuntimeError, match="pretend:0 and cpu"):
        Forgetful().to(THERE)(torch.ones(2, SIZE, device=THERE))
