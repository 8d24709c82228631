"""The package stands on floors: rooms import only from those below them, and only one floor knows Hydra's configs."""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import parity_exp

PACKAGE = Path(parity_exp.__file__).parent
SCRIPT = PACKAGE.parent / "docs" / "scripts" / "imports.py"

FLOORS = (
    ("errors", "ranges", "words", "moved_modules"),
    ("checks", "values", "files", "devices", "process"),
    ("coding", "policies", "tasks"),
    ("data", "models", "disturbances", "load"),
    ("recordings", "tracking"),
    ("training",),
    ("analysis",),
    ("scenario",),
    ("serving", "simulation"),
    ("endpoint",),
    ("client",),
    ("experiment",),
    ("api", "doctor"),
    ("commands",),
    ("cli",),
)
"""From the ground up. Rooms of one floor may import each other as long as there is no circle."""

KNOW_CONFIGS = ("experiment", "commands", "cli.py")
CONFIG_LIBRARIES = ("hydra", "omegaconf")


@pytest.fixture(scope="module")
def imports() -> ModuleType:
    spec = importlib.util.spec_from_file_location("imports_of_rooms", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rooms(imports: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = imports.rooms()
    return found


def test_rooms_import_only_from_floors_below(imports: ModuleType, rooms: dict[str, Any]) -> None:
    floor_of = {room: at for at, floor in enumerate(FLOORS) for room in floor}
    assert rooms.keys() == floor_of.keys()
    upward = [
        f"{name} imports {other}"
        for name, room in rooms.items()
        for other in sorted(room.imports)
        if floor_of[other] > floor_of[name]
    ]
    assert not upward
    assert imports.circle({name: room.imports for name, room in rooms.items()}) == []


def test_policies_know_nothing_of_the_package(rooms: dict[str, Any]) -> None:
    assert rooms["policies"].imports <= {"checks", "errors", "ranges"}


def test_no_room_has_more_than_a_fifth_of_the_lines(rooms: dict[str, Any]) -> None:
    total = sum(room.lines for room in rooms.values())
    assert [name for name, room in rooms.items() if room.lines > total / 5] == []


def test_configs_are_known_on_one_floor_alone() -> None:
    files = {path: path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
    below = [path for path in files if path.relative_to(PACKAGE).parts[0] not in KNOW_CONFIGS]
    assert below
    named = [path for path in below if any(library in files[path] for library in CONFIG_LIBRARIES)]
    assert [str(path) for path in named if _imported(files[path]) & set(CONFIG_LIBRARIES)] == []
    assert [str(path) for path in below if "omegaconf" in files[path].lower()] == []


def test_commands_are_shells() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in (PACKAGE / "commands").glob("*.py")}
    assert lines
    assert [name for name, count in lines.items() if count > 60] == []


def _imported(source: str) -> set[str]:
    """Names of the packages that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found
