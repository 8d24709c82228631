"""The scripts that make pages of the site from the code: the reference of the config, and the picture of imports."""

import doctest
import importlib.util
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).parent.parent


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", TOP / "docs" / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_examples_in_the_script_for_configs_hold() -> None:
    assert doctest.testmod(script("config_reference")).attempted
    assert not doctest.testmod(script("config_reference")).failed


def test_every_choice_of_every_group_has_its_part_in_the_reference() -> None:
    reference = script("config_reference")
    nothing = defaultdict(reference.Described)
    pages = reference.pages(TOP / "conf", nothing.__getitem__)
    files = [path.relative_to(TOP / "conf") for path in (TOP / "conf").rglob("*.yaml")]
    choices = [path.with_suffix("") for path in files if len(path.parts) > 1]
    assert sum(page.count("\n## `") for name, page in pages.items() if name != "index.md") == len(choices)
    assert "## `encoder=concat`" in pages["encoder.md"] and "## `experiment=parm/fig9a`" in pages["experiment.md"]
    assert "## `straggler/distribution=pareto`" in pages["straggler.md"]
    assert "| `k` | `2` | queries in a coding group, 2 or more |" in pages["index.md"]


def test_a_key_without_a_comment_has_the_words_of_its_class() -> None:
    reference = script("config_reference")
    file = reference.read("_target_: parity_exp.coding.X\nwidth: 3\ndepth: 2 # layers\n")
    describe = {"parity_exp.coding.X": reference.Described("An encoder.", {"width": "channels", "depth": "unused"})}
    explained = reference.explained(file, describe.__getitem__)
    assert explained.header == "An encoder."
    assert [one.comment for one in explained.entries] == ["", "channels", "layers"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of three rooms: top imports middle and bottom, middle imports bottom, also from within a function."""
    texts = {
        "toy/__init__.py": "",
        "toy/bottom/__init__.py": "",
        "toy/bottom/one.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toy.top import main\n",
        "toy/middle/__init__.py": "def late():\n    from toy.bottom import one\n",
        "toy/top.py": "from toy import middle\nfrom .bottom import one\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "toy"


def test_rooms_stand_on_the_floors_of_what_they_import(package: Path) -> None:
    imports = script("imports")
    rooms = imports.rooms(package)
    edges = {name: set(room.imports) for name, room in rooms.items()}
    assert edges == {"bottom": set(), "middle": {"bottom"}, "top": {"bottom", "middle"}}
    floors = imports.floors({name: room.imports for name, room in rooms.items()})
    assert floors == {"bottom": 0, "middle": 1, "top": 2}
    assert imports.picture(rooms).count("<path d=") == 1 + 2, "a tip, and an arrow for each import that does not follow"


def test_a_circle_of_imports_is_found_and_shown(package: Path) -> None:
    (package / "bottom" / "two.py").write_text("import toy.middle\n")
    imports = script("imports")
    rooms = imports.rooms(package)
    edges = {name: room.imports for name, room in rooms.items()}
    assert set(imports.circle(edges)) == {"bottom", "middle"}
    with pytest.raises(ValueError, match="circle of imports: "):
        imports.floors(edges)
    assert "bottom + middle" in imports.picture(rooms)
