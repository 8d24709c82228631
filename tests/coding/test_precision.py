"""What low precision costs: nothing where sums can be kept exact, and a warning where it is too late for that."""

import itertools
import logging

import pytest
import torch
from torch import Tensor

from parity_exp.coding import AdditionEncoder, BerrutCode, Cauchy, Chebyshev, Code, SubtractionDecoder, Vandermonde
from parity_exp.coding.decoder import Decoder
from parity_exp.coding.generator import worst_condition_number
from parity_exp.coding.precision import format_named, growth, problem
from parity_exp.coding.residual_decoder import ResidualDecoder

LOW = [torch.float16, torch.bfloat16]


def a_code(k: int, r: int, kind: type[Decoder] = SubtractionDecoder) -> Code:
    generator = Chebyshev().matrix(k, r)
    return Code(AdditionEncoder(k, r, (1, 4, 4), generator), kind(k, r, (10,), generator))


def outputs(k: int, dtype: torch.dtype) -> Tensor:
    return (5 * torch.randn(40, k, 10, generator=torch.Generator().manual_seed(0))).to(dtype)


def parities_of(code: Code, predictions: Tensor) -> Tensor:
    sums = code.targets(predictions)
    extra = torch.zeros(*sums.shape[:2], code.decoder.extra_outputs)
    return torch.cat([sums, extra], dim=-1)


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("kind", [SubtractionDecoder, ResidualDecoder])
@pytest.mark.parametrize(("k", "r"), [(2, 1), (8, 1), (4, 2), (8, 3), (8, 4)])
def test_predictions_of_low_precision_come_back(k: int, r: int, kind: type[Decoder], dtype: torch.dtype) -> None:
    code, predictions = a_code(k, r, kind).eval(), outputs(k, dtype)
    parities = parities_of(code, predictions)
    arrived = torch.ones(len(predictions), r, dtype=torch.bool)
    for lost in itertools.islice(itertools.combinations(range(k), r), 0, None, 7):
        available = torch.ones(k, dtype=torch.bool).index_fill(0, torch.tensor(lost), False)
        decoded = code.decode(predictions, available.expand(len(predictions), k), parities, arrived)
        torch.testing.assert_close(decoded, predictions.float(), rtol=0, atol=2e-3)
        one = code.decoder.decode_group(
            [own if there else None for own, there in zip(predictions[3], available, strict=True)],
            list(parities[3]),
            lost[0],
        )
        torch.testing.assert_close(one, predictions[3, lost[0]].float(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("dtype", LOW)
def test_so_do_those_of_a_code_without_parity_models(dtype: torch.dtype) -> None:
    code, answers = BerrutCode(k=4, stragglers=1), outputs(5, dtype)
    arrived = torch.tensor([True, True, False, True, True]).expand(len(answers), 5)
    torch.testing.assert_close(code.decode(answers, arrived), code.decode(answers.float(), arrived))
    given = [answer if there else None for answer, there in zip(answers[0], arrived[0], strict=True)]
    torch.testing.assert_close(code.decode_group(given), code.decode(answers, arrived)[0])


def test_targets_are_not_rounded_by_autocast() -> None:
    code, predictions = a_code(8, 4), outputs(8, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(code.targets(predictions), code.targets(predictions))
        rounded = code.targets(predictions)
    assert torch.equal(rounded, code.targets(predictions))


@pytest.mark.parametrize("dtype", LOW)
def test_the_generator_keeps_its_digits_whatever_its_decoder_becomes(dtype: torch.dtype) -> None:
    code = a_code(8, 4)
    assert torch.equal(code.to(dtype).decoder.generator, Chebyshev().matrix(8, 4))
    assert code.to("meta").decoder.generator.device.type == "meta"


@pytest.mark.parametrize(("k", "r", "told"), [(8, 4, True), (8, 1, False), (2, 2, False)])
def test_rounded_parity_outputs_are_warned_of_once(
    k: int, r: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    code, predictions = a_code(k, r), outputs(k, torch.bfloat16)
    available = torch.ones(len(predictions), k, dtype=torch.bool)
    arrived = torch.ones(len(predictions), r, dtype=torch.bool)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            code.decode(predictions, available, code.targets(predictions).bfloat16(), arrived)
    assert len(caplog.records) == told
    assert not told or ("bfloat16" in caplog.text and "k=8 and r=4" in caplog.text and "float32" in caplog.text)


def test_no_warning_speaks_of_single_precision(caplog: pytest.LogCaptureFixture) -> None:
    code, predictions = a_code(8, 4), outputs(8, torch.float32)
    masks = torch.ones(len(predictions), 8, dtype=torch.bool), torch.ones(len(predictions), 4, dtype=torch.bool)
    code.decode(predictions, masks[0], code.targets(predictions), masks[1])
    assert not caplog.records


@pytest.mark.parametrize("kind", [Chebyshev, Vandermonde, Cauchy])
@pytest.mark.parametrize(("k", "r"), [(2, 1), (3, 2), (5, 3), (8, 4)])
def test_errors_grow_by_the_condition_number(kind: type[Chebyshev], k: int, r: int) -> None:
    matrix = kind().matrix(k, r)
    assert growth(matrix) == pytest.approx(worst_condition_number(matrix), rel=1e-6)


def test_of_very_many_submatrices_a_part_is_tried() -> None:
    assert growth(Chebyshev().matrix(24, 6)) > 540


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("bf16-mixed", torch.bfloat16), ("bf16-true", torch.bfloat16), ("bfloat16", torch.bfloat16),
        ("16-mixed", torch.float16), (16, torch.float16), ("transformer-engine-float16", torch.float16),
        ("transformer-engine", torch.bfloat16), ("32-true", torch.float32), ("float32", torch.float32),
        ("64-true", torch.float64),
    ],
)  # fmt: skip
def test_every_name_of_a_precision_is_known(name: object, dtype: torch.dtype) -> None:
    assert format_named(name) == dtype


@pytest.mark.parametrize(
    ("kind", "k", "r", "dtype", "too_low"),
    [
        (Chebyshev, 8, 4, torch.bfloat16, True),
        (Chebyshev, 8, 4, torch.float16, True),
        (Chebyshev, 8, 4, torch.float32, False),
        (Chebyshev, 2, 2, torch.bfloat16, False),
        (Vandermonde, 8, 4, torch.float32, False),
        (Vandermonde, 16, 6, torch.float32, True),
        (Vandermonde, 16, 6, torch.float64, False),
    ],
)
def test_a_precision_is_too_low_by_condition_number(
    kind: type[Chebyshev], k: int, r: int, dtype: torch.dtype, too_low: bool
) -> None:
    assert (problem(kind().matrix(k, r), dtype) is not None) == too_low
