"""Tests with many cases of one kind: a few are run with the quick tests, all of them with the others."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest


def slow_but(quick: Collection[Any], cases: Iterable[Any], ids: Callable[[Any], str] | None = None) -> list[Any]:
    """The cases as parameters, marked slow but for those named.

    Args:
        quick: those that are not slow; each has to be among the cases.
        cases: single values, or tuples of as many values as the test has parameters.
        ids: gives a case its name.

    Raises:
        ValueError: one of the quick ones is no case.
    """
    cases = list(cases)
    if missing := [one for one in quick if one not in cases]:
        raise ValueError(f"no such cases: {missing}")
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            id=ids(case) if ids is not None else case if isinstance(case, str) else None,
            marks=() if case in quick else pytest.mark.slow,
        )
        for case in cases
    ]
