"""Barycentric codes and B-splines, against scipy, plain formulas and what they must do."""

import itertools

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline, CubicSpline

from parity_exp.coding import (
    BarycentricCode,
    BerrutCode,
    BSplineCode,
    floater_hormann_matrix,
    interpolating_matrix,
    least_squares_matrix,
)
from parity_exp.coding.points import first_kind, second_kind


def blended(points: list[float], degree: int, values: list[float], at: float) -> float:
    """Floater and Hormann's interpolant by its definition: local polynomials, blended."""
    top = bottom = 0.0
    for i in range(len(points) - degree):
        some = points[i : i + degree + 1]
        local = 0.0
        for own, value in zip(some, values[i : i + degree + 1], strict=True):
            local += value * np.prod([(at - other) / (own - other) for other in some if other != own])
        blend = (-1) ** i / np.prod([at - point for point in some])
        top, bottom = top + blend * local, bottom + blend
    return top / bottom


@pytest.mark.parametrize("count", [2, 5, 9])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_floater_hormann_blends_local_polynomials(count: int, degree: int) -> None:
    random = np.random.default_rng(count)
    points = np.sort(random.uniform(-1, 1, count))
    values, at = random.normal(size=count), np.linspace(-1.1, 1.1, 17)
    shuffled = random.permutation(count)
    found = floater_hormann_matrix(torch.tensor(points[shuffled]), degree, torch.tensor(at)).numpy() @ values[shuffled]
    expected = [blended(points.tolist(), min(degree, count - 1), values.tolist(), place) for place in at]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_degree_0_is_berruts_code_with_alternating_signs() -> None:
    code, berrut = BarycentricCode(4, 2, encoder_degree=0, decoder_degree=0), BerrutCode(4, 2, signs="alternating")
    torch.testing.assert_close(code.encoding, berrut.encoding)
    for answered in itertools.combinations(range(6), 4):
        torch.testing.assert_close(code.decoding_matrix(answered), berrut.decoding_matrix(answered))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_any_answers_decode_a_group_and_no_weight_is_a_pole(degree: int) -> None:
    code = BarycentricCode(4, 3, encoder_degree=degree, decoder_degree=degree)
    for count in range(1, code.n + 1):
        for answered in itertools.combinations(range(code.n), count):
            matrix = code.decoding_matrix(answered)
            assert matrix.shape == (4, count) and matrix.abs().max() < 1e3
            torch.testing.assert_close(matrix.sum(1), torch.ones(4, dtype=torch.float64))


def test_with_more_answers_a_smooth_curve_comes_back_more_exactly() -> None:
    code = BarycentricCode(4, 1, workers=24, encoder_degree=3, decoder_degree=3)
    wanted, answers = torch.sin(3 * code.alpha), torch.sin(3 * code.beta)
    errors = []
    for step in (8, 4, 2, 1):
        rows = list(range(0, 24, step))
        errors.append(float((code.decoding_matrix(rows) @ answers[rows] - wanted).abs().max()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-3


@pytest.mark.parametrize("count", [4, 5, 8])
def test_the_interpolating_b_spline_is_the_not_a_knot_spline(count: int) -> None:
    points, at = first_kind(count), second_kind(11)
    values = np.random.default_rng(0).normal(size=count)
    expected = CubicSpline(points.numpy()[::-1], values[::-1], bc_type="not-a-knot")(at.numpy())
    np.testing.assert_allclose(interpolating_matrix(points, 3, at).numpy() @ values, expected, atol=1e-9)


def test_two_points_give_their_line() -> None:
    points = torch.tensor([0.5, -0.5], dtype=torch.float64)
    line = interpolating_matrix(points, 3, torch.tensor([1.0, -1.0], dtype=torch.float64))
    torch.testing.assert_close(line, torch.tensor([[1.5, -0.5], [-0.5, 1.5]], dtype=torch.float64))


@pytest.mark.parametrize(("degree", "knots"), [(1, 2), (2, 0), (3, 0), (3, 2), (3, 3)])
def test_the_least_squares_b_spline_is_that_of_the_normal_equations(degree: int, knots: int) -> None:
    points, at = second_kind(12), first_kind(5)
    ends = [1.0] * (degree + 1)
    vector = np.array([-end for end in ends] + list(np.linspace(-1, 1, knots + 2)[1:-1]) + ends)
    size = len(vector) - degree - 1

    def basis(places: torch.Tensor) -> np.ndarray:
        columns = [BSpline(vector, np.eye(size)[column], degree)(places.numpy()) for column in range(size)]
        return np.stack(columns, axis=1)

    expected = basis(at) @ np.linalg.pinv(basis(points))
    np.testing.assert_allclose(least_squares_matrix(points, degree, knots, at).numpy(), expected, atol=1e-8)


@pytest.mark.parametrize(("k", "stragglers", "knots"), [(2, 1, 4), (4, 2, 0), (4, 2, 3), (8, 3, 4)])
def test_b_splines_decode_whatever_answers_are_there(k: int, stragglers: int, knots: int) -> None:
    code = BSplineCode(k, stragglers, knots=knots)
    for count in range(1, code.n + 1):
        for answered in itertools.islice(itertools.combinations(range(code.n), count), 60):
            matrix = code.decoding_matrix(answered)
            assert matrix.isfinite().all()
            torch.testing.assert_close(matrix.sum(1), torch.ones(k, dtype=torch.float64), atol=1e-6, rtol=0)


def test_what_nobody_chose_is_open_and_what_cannot_be_is_refused() -> None:
    assert set(BarycentricCode(4).open_settings()) == {"encoder_degree", "decoder_degree"}
    assert set(BSplineCode(4).open_settings()) == {"knots"}
    with pytest.raises(ValueError, match="knots has not been chosen"):
        BSplineCode(4).decoding_matrix([0, 1, 2])
    with pytest.raises(ValueError, match="encoder_degree=-1"):
        BarycentricCode(4, encoder_degree=-1)
    with pytest.raises(ValueError, match="degree=0"):
        BSplineCode(4, degree=0)
