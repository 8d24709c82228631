"""A policy's settings have their defaults in its class alone, and configs and their reference have those."""

import ast
import inspect
import runpy
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from parity_exp import policies
from tests.commands.test_one_world import composed

REDUNDANCY = Path(__file__).parents[2] / "conf" / "redundancy"
FILES = sorted(REDUNDANCY.glob("*.yaml"))


def settings(path: Path) -> tuple[str, dict[str, Any]]:
    """The name of the class of a file, and its settings as they stand there."""
    (node,) = (node for key, node in yaml.safe_load(path.read_text()).items() if key != "defaults")
    return node["_target_"].rpartition(".")[2], {key: value for key, value in node.items() if key != "_target_"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_offers_every_setting_and_says_no_default_itself(path: Path) -> None:
    policy, given = settings(path)
    arguments = inspect.signature(getattr(policies, policy)).parameters
    defaults = {name: one.default for name, one in arguments.items() if one.default is not inspect.Parameter.empty}
    asked = {name: f"${{default:{policy}.{name}}}" for name in defaults}
    own = {key: value for key, value in given.items() if key != "code" and value != asked.get(key)}
    assert given.keys() - {"code"} == asked.keys()
    assert all(defaults[name] != value for name, value in own.items()), "what a file is for, and no default"
    group = composed(f"redundancy=[{','.join(path.stem for path in FILES)}]").redundancy[path.stem]
    for name, default in defaults.items():
        if name not in own:
            assert group[name] == default and type(group[name]) is type(default)


def test_policies_that_share_a_setting_take_its_default_from_one_place() -> None:
    written: set[tuple[str, str]] = set()
    for path in Path(policies.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name == "__init__":
                names = [argument.arg for argument in function.args.args][-len(function.args.defaults) :]
                for name, default in zip(names, function.args.defaults, strict=False):
                    if isinstance(default, ast.Constant) and type(default.value) in (int, float):
                        assert (name, ast.dump(default)) not in written, f"{path.name}: {name}={default.value}"
                        written.add((name, ast.dump(default)))
    assert any(name == "copy_limit" for name, _ in written)


def test_the_reference_of_the_configuration_shows_defaults() -> None:
    program = runpy.run_path(str(REDUNDANCY.parents[1] / "docs" / "scripts" / "config_reference.py"))
    nothing = defaultdict(program["Described"])
    page = program["pages"](REDUNDANCY.parent, nothing.__getitem__)["redundancy.md"]
    assert "| `hedged.percentile` | `90` | of how long recent tasks took |" in page
    assert "| `hedged.delay_ms` | `null` |" in page and "${" not in page


@pytest.mark.parametrize("place", ["Hedged.colour", "Hedged.k", "Hedgehog.percentile", "Hedged"])
def test_what_no_class_says_is_no_default(place: str) -> None:
    with pytest.raises(OmegaConfBaseException, match="expected a policy of"):
        OmegaConf.to_container(OmegaConf.create({"value": f"${{default:{place}}}"}), resolve=True)
