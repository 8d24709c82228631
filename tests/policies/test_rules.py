"""Rules of the room: policies need nothing of the package, and stand in nobody's way."""

import ast
import inspect
from pathlib import Path

import pytest

from parity_exp import policies
from parity_exp.policies.policy import Policy

ROOM = Path(policies.__file__).parent
CLASSES = [getattr(policies, name) for name in policies.__all__]


def test_the_room_imports_nothing_of_the_package_but_ranges_of_settings() -> None:
    imported = set()
    for path in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module is not None and node.level == 0
                imported.add(node.module)
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    ours = {name for name in imported if name.startswith("parity_exp") and not name.startswith("parity_exp.policies")}
    assert ours == {"parity_exp.ranges"}
    assert not {name.partition(".")[0] for name in imported} & {"torch", "pandas", "omegaconf", "hydra"}


def test_only_estimates_reckon_with_arrays() -> None:
    users = {path for path in ROOM.rglob("*.py") if "import numpy" in path.read_text()}
    assert {path.parent.name for path in users} == {"estimates"}


@pytest.mark.parametrize("policy", CLASSES)
def test_a_policy_overrides_no_private_method_of_another(policy: type[Policy]) -> None:
    own = {name for name, value in vars(policy).items() if name.startswith("_") and inspect.isfunction(value)}
    inherited = {name for parent in policy.__mro__[1:-1] for name in vars(parent)}
    assert {name for name in own & inherited if not name.endswith("__")} == set()
    assert len(policy.__bases__) == 1
