"""Codes over copies of the base model, against independent implementations and against what they must do."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import BarycentricInterpolator, CubicSpline, make_smoothing_spline

from parity_exp.coding import BerrutCode, NonSystematicCode, SplineCode, berrut_matrix, smoothing_spline_matrix
from parity_exp.coding.points import second_kind

CODES: dict[str, type[NonSystematicCode]] = {"berrut": BerrutCode, "spline": SplineCode}


def make(kind: str, k: int, stragglers: int, byzantine: int = 0, workers: int | None = None) -> NonSystematicCode:
    weights = {"encoder_weight": 1e-4, "decoder_weight": 1e-5} if kind == "spline" else {}
    return CODES[kind](k, stragglers, byzantine, workers, **weights)


def smooth(points: torch.Tensor) -> torch.Tensor:
    """A smooth curve with three coordinates, ``(m,) -> (m, 3)``."""
    return torch.stack([torch.sin(3 * points + 1), 1 / (1 + 4 * points**2), points**2 - points], dim=1)


def basis(points: list[float], signs: list[int], at: float) -> list[float]:
    """Berrut's basis functions at one place, by the formula."""
    for i, point in enumerate(points):
        if point == at:
            return [float(j == i) for j in range(len(points))]
    terms = [sign / (at - point) for sign, point in zip(signs, points, strict=True)]
    return [term / sum(terms) for term in terms]


# ---- Berrut's interpolant


@pytest.mark.parametrize("count", [2, 3, 8, 31])
def test_berrut_agrees_with_the_barycentric_formula_of_scipy(count: int) -> None:
    points, at = second_kind(count), torch.linspace(-1.3, 1.3, 57, dtype=torch.float64)
    signs = torch.tensor([(-1.0) ** i for i in range(count)], dtype=torch.float64)
    values = np.random.default_rng(0).normal(size=count)
    expected = BarycentricInterpolator(points.numpy(), values, wi=signs.numpy())(at.numpy())
    np.testing.assert_allclose(berrut_matrix(points, signs, at).numpy() @ values, expected, atol=1e-10)


@pytest.mark.parametrize(("k", "stragglers"), [(2, 1), (3, 2), (4, 1), (4, 2), (8, 2)])
def test_berrut_matrices_are_those_of_the_formulas_with_the_signs_of_own_numbers(k: int, stragglers: int) -> None:
    code = BerrutCode(k, stragglers)
    alpha = [math.cos((2 * j + 1) * math.pi / (2 * k)) for j in range(k)]
    beta = [math.cos(i * math.pi / (k + stragglers - 1)) for i in range(k + stragglers)]
    encoding = [basis(alpha, [(-1) ** j for j in range(k)], point) for point in beta]
    np.testing.assert_allclose(code.encoding.numpy(), encoding, atol=1e-9)
    for answered in itertools.combinations(range(code.n), code.needed):
        expected = np.array([basis([beta[i] for i in answered], [(-1) ** i for i in answered], at) for at in alpha])
        sound = np.abs(expected).max(axis=1) < 1e6
        found = code.decoding_matrix(answered).numpy()
        np.testing.assert_allclose(found[sound], expected[sound], atol=1e-9)
        assert np.isfinite(found).all() and np.abs(found).max() < 1e6


def test_a_prediction_at_a_pole_is_decoded_all_the_same() -> None:
    decoding = BerrutCode(3, 2).decoding((True, True, False, True, True))
    assert decoding.isfinite().all() and decoding.abs().max() < 10
    torch.testing.assert_close(decoding.sum(1), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize(("signs", "stragglers"), [("own", 0), ("alternating", 0), ("alternating", 1)])
def test_the_error_of_berrut_falls_with_the_number_of_coded_queries(signs: str, stragglers: int) -> None:
    errors = []
    for workers in (8, 16, 32):
        code = BerrutCode(4, 1, workers=workers, signs=signs)
        answers, worst = smooth(code.beta), 0.0
        for missing in range(workers) if stragglers else [None]:
            answered = [row for row in range(workers) if row != missing]
            decoded = code.decoding_matrix(answered) @ answers[answered]
            worst = max(worst, float((decoded - smooth(code.alpha)).abs().max()))
        errors.append(worst)
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 3


# ---- smoothing splines


@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(5, 24),
    weight=st.sampled_from([0.0, 1e-8, 1e-4, 1e-2, 1.0, 30.0]),
    seed=st.integers(0, 1000),
)
def test_splines_agree_with_scipy_where_scipy_has_them(count: int, weight: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    points = np.cumsum(random.uniform(0.05, 0.3, count))
    values, at = random.normal(size=count), np.linspace(points[0] - 0.3, points[-1] + 0.3, 40)
    shuffled = random.permutation(count)
    matrix = smoothing_spline_matrix(torch.tensor(points[shuffled]), weight, torch.tensor(at))
    expected = make_smoothing_spline(points, values, lam=weight)(at)
    np.testing.assert_allclose(matrix.numpy() @ values[shuffled], expected, rtol=1e-6, atol=1e-6)


def curvature(points: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """The integral of the squared second derivative of the natural spline through some points."""
    second = CubicSpline(points, values, bc_type="natural").derivative(2)(points)
    widths = np.diff(points)
    return float((widths * (second[:-1] ** 2 + second[:-1] * second[1:] + second[1:] ** 2) / 3).sum())


@pytest.mark.parametrize("count", [3, 4])
def test_splines_of_few_points_minimise_what_they_should(count: int) -> None:
    random = np.random.default_rng(count)
    points, values = np.sort(random.uniform(-1, 1, count)), random.normal(size=count)
    at = torch.tensor(points)

    def objective(fitted: NDArray[np.float64]) -> float:
        return float(((values - fitted) ** 2).sum()) + 0.05 * curvature(points, fitted)

    fitted = smoothing_spline_matrix(at, 0.05, at).numpy() @ values
    least = objective(fitted)
    for step in random.normal(scale=0.01, size=(50, count)):
        assert objective(fitted + step) > least
    natural = CubicSpline(points, values, bc_type="natural")
    between = np.linspace(points[0], points[-1], 11)
    interpolated = smoothing_spline_matrix(at, 0.0, torch.tensor(between)).numpy() @ values
    np.testing.assert_allclose(interpolated, natural(between), atol=1e-9)


def test_two_points_give_their_line_and_one_a_constant() -> None:
    at = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    line = smoothing_spline_matrix(torch.tensor([1.0, 0.0], dtype=torch.float64), 7.0, at)
    torch.testing.assert_close(line @ torch.tensor([3.0, 1.0], dtype=torch.float64), 2 * at + 1)
    assert smoothing_spline_matrix(at[:1], 1.0, at).tolist() == [[1.0]] * 3


def test_a_weight_that_nobody_chose_is_open() -> None:
    code = SplineCode(4, encoder_weight=1e-3)
    assert list(code.open_settings()) == ["decoder_weight"]
    assert code.encode(torch.ones(1, 4, 2)).shape == (1, 5, 2)
    with pytest.raises(ValueError, match="decoder_weight has not been chosen"):
        code.decode(torch.ones(1, 5, 2), torch.ones(1, 5, dtype=torch.bool))


# ---- any code


@settings(max_examples=20, deadline=None)
@given(kind=st.sampled_from(list(CODES)), k=st.integers(2, 9), more=st.integers(0, 6), seed=st.integers(0, 1000))
def test_any_pattern_of_answers_is_decoded_alike_in_batches_and_in_serving(
    kind: str, k: int, more: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    code = make(kind, k, 1, workers=k + 1 + more)
    queries = torch.randn(5, k, 2, 3, generator=random)
    coded = code.encode(queries)
    out = torch.full((2, 3), torch.nan)
    code.encode_group(list(queries[0]), code.n - 1, out)
    torch.testing.assert_close(out, coded[0, -1], rtol=1e-4, atol=1e-4)

    answers = torch.tanh(coded.flatten(2))
    answered = torch.rand(5, code.n, generator=random) < 0.7
    answered[torch.arange(5), torch.randint(code.n, (5,), generator=random)] = True
    seen = torch.where(answered[..., None], answers, torch.nan)
    decoded = code.decode(seen, answered)
    assert decoded.shape == (5, k, 6) and decoded.isfinite().all()
    for group in range(5):
        given_answers = [
            answer if there else None for answer, there in zip(answers[group], answered[group], strict=True)
        ]
        scale = float(decoded[group].abs().max())
        torch.testing.assert_close(
            code.decode_group(given_answers), decoded[group], rtol=1e-3, atol=1e-4 * scale + 1e-4
        )


@pytest.mark.parametrize("kind", CODES)
def test_what_is_the_same_for_all_queries_comes_back_exactly(kind: str) -> None:
    code = make(kind, 4, 2)
    coded = code.encode(torch.ones(1, 4, 3))
    torch.testing.assert_close(coded, torch.ones(1, 6, 3))
    answered = torch.tensor([[True, False, True, True, False, True]])
    torch.testing.assert_close(code.decode(coded, answered), torch.ones(1, 4, 3))


def test_a_group_without_answers_is_nan_and_spoils_no_other() -> None:
    code = BerrutCode(2, 1)
    answered = torch.tensor([[False] * 3, [True] * 3])
    decoded = code.decode(torch.ones(2, 3, 4), answered)
    assert decoded[0].isnan().all()
    torch.testing.assert_close(decoded[1], torch.ones(2, 4))


@pytest.mark.parametrize(
    ("k", "stragglers", "byzantine", "n"), [(2, 1, 0, 3), (8, 2, 0, 10), (2, 1, 1, 7), (4, 0, 2, 12)]
)
def test_coded_queries_are_as_many_as_the_paper_says(k: int, stragglers: int, byzantine: int, n: int) -> None:
    code = BerrutCode(k, stragglers, byzantine)
    assert (code.n, code.needed) == (n, n - stragglers)


def test_coded_queries_that_are_missed_least_go_last() -> None:
    code = BerrutCode(4, 2, last=[1, 4])
    assert code.order == (0, 2, 3, 5, 1, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stragglers": -1}, "stragglers=-1"),
        ({"byzantine": -1}, "byzantine=-1"),
        ({"stragglers": 0}, "expected 1 or more of either"),
        ({"stragglers": 2, "workers": 5}, "need 6 or more"),
        ({"byzantine": 1, "workers": 10}, "need 11 or more"),
        ({"last": [5]}, "coded queries 0 to 4"),
        ({"last": [1, 2]}, "expected the numbers of 1"),
        ({"signs": "odd"}, "expected one of own, alternating"),
    ],
)
def test_numbers_that_cannot_be_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BerrutCode(4, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_weights_that_cannot_be_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="decoder_weight"):
        SplineCode(4, decoder_weight=weight)


# ---- wrong answers


@pytest.mark.parametrize(("k", "stragglers", "byzantine"), [(2, 0, 1), (2, 1, 1), (4, 1, 1), (4, 1, 2), (3, 1, 3)])
def test_wrong_answers_are_found_and_left_out(k: int, stragglers: int, byzantine: int) -> None:
    random = torch.Generator().manual_seed(0)
    code = BerrutCode(k, stragglers, byzantine)
    groups = 40
    # Linear functions of the queries stay rational ones along the line, so that nothing but noise is wrong.
    answers = code.encode(torch.randn(groups, k, 8, generator=random, dtype=torch.float64))
    order = torch.rand(groups, code.n, generator=random).argsort(dim=1)
    answered, wrong = order >= stragglers, order >= code.n - byzantine
    noisy = torch.where(wrong[..., None], answers + torch.randn(answers.shape, generator=random), answers)
    noisy = torch.where(answered[..., None], noisy, torch.nan)
    assert torch.equal(code.wrong(noisy, answered), wrong)
    torch.testing.assert_close(code.decode(noisy, answered), code.decode(answers, answered & ~wrong))
    row = [answer if there else None for answer, there in zip(noisy[0].float(), answered[0], strict=True)]
    torch.testing.assert_close(
        code.decode_group(row), code.decode(noisy[:1], answered[:1])[0].float(), rtol=1e-3, atol=1e-3
    )


def test_too_few_answers_are_all_believed() -> None:
    code = BerrutCode(2, 1, 1)
    answered = torch.arange(code.n).expand(3, -1) < code.needed - 1
    assert not code.wrong(torch.randn(3, code.n, 5), answered).any()
