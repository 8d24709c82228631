"""The list of slow tests names tests that are there."""

import ast
from functools import cache
from pathlib import Path

from tests.conftest import slow_tests

TOP = Path(__file__).parents[1]


def test_every_slow_test_is_there() -> None:
    missing = []
    parsed = cache(lambda path: ast.parse((TOP / path).read_text()).body)
    for test in slow_tests():
        path, *names = test.split("::")
        found = (TOP / path).is_file()
        body = parsed(path) if found else []
        for name in names:
            inner = [node for node in body if getattr(node, "name", None) == name]
            body = inner[0].body if inner and isinstance(inner[0], ast.ClassDef) else []
            found = found and bool(inner)
        if not found:
            missing.append(test)
    assert not missing
