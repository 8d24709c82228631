"""What imports what: the floors of the package, drawn from its code.

``python docs/scripts/imports.py [PICTURE.svg]`` prints every room (a subpackage or a module at the top) with its floor,
its lines and what it imports, writes the picture where a file is named, and ends with status 1 where rooms import each
other in a circle.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "parity_exp"

BOX, GAP, ROW, TEXT = 132, 18, 92, 44
"""Width of a box, room between two, height of a row, height of a box, in pixels."""


@dataclass(frozen=True)
class Room:
    """A subpackage, or a module at the top of the package.

    Attributes:
        name: such as ``coding``.
        lines: of its Python files.
        imports: names of the other rooms that it imports, also from within functions; imports for type checkers alone
            do not count, since they never happen.
    """

    name: str
    lines: int
    imports: frozenset[str]


def rooms(package: Path = PACKAGE) -> dict[str, Room]:
    """Every room of a package, by its name."""
    paths: dict[str, list[Path]] = {}
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).parts[0].removesuffix(".py")
        if not name.startswith("__"):
            paths.setdefault(name, []).append(path)
    made = {}
    for name, files in paths.items():
        texts = [path.read_text() for path in files]
        imported = {
            target
            for path, text in zip(files, texts, strict=True)
            for target in imported_rooms(ast.parse(text), path.relative_to(package.parent), package.name)
        }
        made[name] = Room(
            name, sum(len(text.splitlines()) for text in texts), frozenset(imported & set(paths) - {name})
        )
    return made


def imported_rooms(tree: ast.AST, path: Path, package: str) -> Iterator[str]:
    """Names below the package that a module imports."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif node.level:
            above = ".".join(path.parts[: -node.level])
            modules = [".".join(filter(None, (above, node.module, alias.name))) for alias in node.names]
        else:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        for module in modules:
            parts = module.split(".")
            if parts[0] == package and len(parts) > 1:
                yield parts[1]


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements, at whatever depth, but for those under ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (found for other in node.orelse for found in statements(other))
        else:
            yield from statements(node)


def circle(edges: Mapping[str, frozenset[str]]) -> list[str]:
    """Rooms that import each other in a circle, the first once more at the end; empty where there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def floors(edges: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """The floor of each room: 0 where it imports none, otherwise one above the highest that it imports.

    Raises:
        ValueError: some import each other in a circle.
    """
    found = circle(edges)
    if found:
        raise ValueError(f"circle of imports: {' - '.join(found)}")
    floor: dict[str, int] = {}
    for name in TopologicalSorter(edges).static_order():
        floor[name] = 1 + max((floor[other] for other in edges[name]), default=-1)
    return floor


def direct(edges: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Only those imports that do not follow from others: what an imported room imports itself is left out."""
    reached: dict[str, frozenset[str]] = {}
    for name in TopologicalSorter(edges).static_order():
        reached[name] = edges[name].union(*(reached[other] for other in edges[name]))
    return {name: others - frozenset().union(*(reached[one] for one in others)) for name, others in edges.items()}


def merged(found: Mapping[str, Room], package: Path = PACKAGE) -> dict[str, Room]:
    """The rooms, with all modules at the top that import no subpackage as one: too small for a box each."""
    small = {name for name, room in found.items() if not (package / name).is_dir()}
    while raised := {name for name in small if found[name].imports - small}:
        small -= raised
    if len(small) < 2:
        return dict(found)
    one = "small modules"
    made = {
        name: Room(name, room.lines, frozenset(one if other in small else other for other in room.imports))
        for name, room in found.items()
        if name not in small
    }
    return {**made, one: Room(one, sum(found[name].lines for name in small), frozenset())}


def with_circles_as_one(found: Mapping[str, Room]) -> dict[str, Room]:
    """The rooms, with those that import each other in a circle as one, so that the picture can show where they are."""
    made = dict(found)
    while ring := set(circle({name: room.imports for name, room in made.items()})):
        one = " + ".join(sorted(ring))
        inside = [made.pop(name) for name in ring]
        made[one] = Room(
            one, sum(room.lines for room in inside), frozenset().union(*(room.imports for room in inside)) - ring
        )
        for name, room in made.items():
            if room.imports & ring:
                made[name] = Room(name, room.lines, (room.imports - ring) | {one})
    return made


def picture(found: Mapping[str, Room]) -> str:
    """The floors as an SVG: who imports stands above, an arrow for each import that does not follow from others.

    Rooms in a circle are one box, in red.
    """
    found = with_circles_as_one(found)
    edges = {name: room.imports for name, room in found.items()}
    floor = floors(edges)
    rows: list[list[str]] = [sorted(n for n in floor if floor[n] == at) for at in range(max(floor.values()) + 1)]
    arrows = direct(edges)
    width = max(map(len, rows)) * (BOX + GAP) + GAP
    height = len(rows) * ROW + GAP
    middle: dict[str, float] = {}
    for at, row in enumerate(rows):
        # Above what it imports, so that arrows cross little.
        row.sort(key=lambda name: sum(middle[o] for o in arrows[name]) / max(1, len(arrows[name])) if at else 0)
        left = (width - len(row) * (BOX + GAP) + GAP) / 2
        middle |= {name: left + place * (BOX + GAP) + BOX / 2 for place, name in enumerate(row)}

    def top(name: str) -> float:
        return height - (floor[name] + 1) * ROW + (ROW - TEXT) / 2

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="14"><rect width="100%" height="100%" fill="#fff"/>'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#8a94a6"/></marker></defs>'
    ]
    for name, others in arrows.items():
        for other in sorted(others):
            start, end = (middle[name], top(name) + TEXT), (middle[other], top(other) - 2)
            bend = (end[1] - start[1]) / 2
            parts.append(
                f'<path d="M{start[0]:.0f} {start[1]:.0f} C{start[0]:.0f} {start[1] + bend:.0f} {end[0]:.0f} '
                f'{end[1] - bend:.0f} {end[0]:.0f} {end[1]:.0f}" fill="none" stroke="#8a94a6" marker-end="url(#tip)"/>'
            )
    for name, room in found.items():
        left, at = middle[name] - BOX / 2, top(name)
        colour = "#fbdcdc" if " + " in name else "#e8ecfa"
        parts.append(
            f'<rect x="{left:.0f}" y="{at:.0f}" width="{BOX}" height="{TEXT}" rx="6" fill="{colour}" stroke="#4a5a9c"/>'
            f'<text x="{middle[name]:.0f}" y="{at + 19:.0f}" text-anchor="middle" fill="#1b2340">{escape(name)}</text>'
            f'<text x="{middle[name]:.0f}" y="{at + 35:.0f}" text-anchor="middle" font-size="11" fill="#5a6480">'
            f"{room.lines:,} lines</text>"
        )
    return "".join(parts) + "</svg>\n"


def main(arguments: list[str]) -> int:
    """Print the rooms, and write the picture where a file is named."""
    found = rooms()
    edges = {name: room.imports for name, room in found.items()}
    if ring := circle(edges):
        print(f"circle of imports: {' - '.join(ring)}")
        return 1
    total = sum(room.lines for room in found.values())
    for name, floor in sorted(floors(edges).items(), key=lambda one: (-one[1], one[0])):
        room = found[name]
        share = room.lines / total
        print(f"{floor:2}  {name:20} {room.lines:6} lines {share:4.0%}  {', '.join(sorted(room.imports))}")
    if arguments:
        Path(arguments[0]).write_text(picture(merged(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
