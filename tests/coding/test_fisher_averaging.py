"""Codes over models: weights, and what is decoded from sums that are exact."""

import pytest
import torch

from parity_exp.coding import FisherAveraging, SameQueryEncoder, all_loss_patterns
from parity_exp.coding.fisher_averaging import averaging_rows
from parity_exp.models import tagged


@pytest.mark.parametrize(("k", "r"), [(2, 1), (4, 1), (3, 2), (5, 3)])
def test_rows_are_averages_any_columns_of_which_are_independent(k: int, r: int) -> None:
    rows = averaging_rows(k, r)
    assert rows.shape == (r, k) and (rows > 0).all()
    assert torch.allclose(rows.sum(1), torch.full((r,), float(k)))
    for columns in torch.combinations(torch.arange(k), r):
        assert abs(float(torch.linalg.det(rows[:, columns].double()))) > 1e-4


@pytest.mark.parametrize(("k", "r"), [(2, 1), (3, 2), (4, 2)])
def test_up_to_r_predictions_come_back_from_exact_combinations(k: int, r: int) -> None:
    code = FisherAveraging(k, r, (1, 4, 4), (10,))
    predictions = torch.randn(6, k, 10)
    parities = code.targets(predictions)
    assert torch.allclose(parities, torch.einsum("rk,bko->bro", code.rows, predictions), atol=1e-5)
    assert code.needs.most_losses == r
    for pattern in all_loss_patterns(k, r):
        known = torch.where(pattern[None, :, None], predictions, torch.nan)
        decoded = code.decode(known, pattern.expand(6, -1), parities, torch.ones(6, r, dtype=torch.bool))
        assert torch.allclose(decoded, predictions, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 5, 2), (7,)])
def test_the_parity_query_is_the_query_itself_without_the_model_that_it_is_for(shape: tuple[int, ...]) -> None:
    queries = torch.randn(5, *shape)
    plain = SameQueryEncoder(3, 2, shape, averaging_rows(3, 2))
    assert torch.equal(plain.encode(queries[:, None].expand(-1, 3, *shape))[:, 1], queries)
    code = FisherAveraging(3, 2, shape, (10,)).for_tagged()
    groups = tagged(queries, 3).unflatten(0, (5, 3))
    assert torch.equal(code.encode(groups), queries[:, None].expand(-1, 2, *shape))
    out = torch.empty(code.encoder.parity_shape)
    code.encode_group(list(groups[2]), 1, out)
    assert torch.equal(out, queries[2])


@pytest.mark.parametrize(
    ("settings", "named"), [({"samples": 0}, "samples=0"), ({"damping": -1}, "damping=-1"), ({"k": 1}, "k=1")]
)
def test_what_cannot_be_is_refused(settings: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        FisherAveraging(**{"k": 2, "r": 1, "query_shape": (1, 4, 4), "output_shape": (10,)} | settings)  # type: ignore[arg-type]
