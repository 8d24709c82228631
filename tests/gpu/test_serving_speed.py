"""The check of serving on a GPU, tried out on the CPU with little of everything."""

import math

import pytest

from tests.gpu.serving_speed import SMALL, serving_rows


@pytest.mark.slow
def test_the_check_measures_all_that_it_promises() -> None:
    rows = {row.what: row for row in serving_rows("cpu", SMALL)}
    for what in (
        "direct call, one after the other, p50",
        "idle instance, captured, one after the other, p50",
        "idle instance, captured, adds to a direct call",
        "30 % utilisation, captured, latency p99",
        "30 % utilisation, not captured, latency p99",
        "30 % utilisation, captured, in the instance, p99",
        "start of 3 instances",
        "3 instances go over to the next policy",
        "2 instances together",
    ):
        assert math.isfinite(rows[what].value) and rows[what].value != 0, what
    assert rows["3 instances go over to the next policy"].value < rows["start of 3 instances"].value
