"""Plain values against annotated types, and these in words."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Interval, Le, Len, MinLen

from parity_exp.ranges import Matches
from parity_exp.values import fits, words

SHARE = Annotated[float, Ge(0), Le(1)]


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "told"),
    [
        (int, [0, -3], [True, 1.0, "1", None, [1]], "a whole number"),
        (float, [0, 1.5], [True, float("nan"), float("inf"), "1"], "a number"),
        (bool, [True, False], [0, "true", None], "true or false"),
        (SHARE, [0, 1, 0.5], [-0.1, 1.1, 10**20], "a number, 0 or more and at most 1"),
        (SHARE | None, [None, 0.5], [2, "a"], "a number or null, 0 or more and at most 1"),
        (Annotated[int, Interval(ge=2, lt=5)], [2, 4], [1, 5], "a whole number, 2 or more and below 5"),
        (Annotated[str, MinLen(1)], ["a"], ["", 3], "a text, not empty"),
        (Literal["auto", 3], ["auto", 3], ["Auto", 3.0, None], "auto or 3"),
        (Sequence[SHARE], [[], [0.5]], [0.5, [2], ["a"], "ab"], "a list of numbers, each 0 or more and at most 1"),
        (Annotated[Sequence[int], Len(2, 2)], [[1, 2]], [[1], [1, 2, 3]], "a list of whole numbers"),
        (tuple[int, str], [[1, "a"]], [[1], ["a", 1]], "a list of whole numbers"),
        (
            Mapping[str, SHARE],
            [{}, {"a": 0.5}],
            [{"a": 2}, [1]],
            "keys and values that are numbers, 0 or more and at most 1",
        ),
        (float | torch.Tensor, [0.1], ["a", None], "a number"),
        (Annotated[str, Matches("a+", "letters a")], ["aa"], ["b", ""], "letters a"),
        (Annotated[float, Gt(0)] | Literal["auto"], [1, "auto"], [0, "x"], "a number or auto, above 0"),
    ],
)
def test_values_fit_or_not(annotation: Any, good: list[Any], bad: list[Any], told: str) -> None:
    assert all(fits(value, annotation) for value in good)
    assert not any(fits(value, annotation) for value in bad)
    assert words(annotation).startswith(told)


def test_an_end_beyond_all_sense_is_told_to_who_is_beyond() -> None:
    annotation = Annotated[int, Ge(1), Le(10**9)]
    assert words(annotation, 0) == "a whole number, 1 or more"
    assert words(annotation, 10**20) == "a whole number, 1 or more and at most 1000000000"


def test_anything_fits_where_nothing_is_said() -> None:
    assert fits("a", Any) and fits(None, Any)
