"""The reference of the configuration, read from the YAML files under conf/: their values and their comments.

Nothing is said twice: what a page says of a key is the comment beside it, or what the docstring of its class says of
the argument.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from parity_exp.experiment import policy_defaults

COMMENT = re.compile(r"""^(?P<code>(?:[^'"#]|'[^']*'|"[^"]*"|(?<! )\#)*?)(?:(?:^|\s+)\#\s?(?P<comment>.*))?$""")
KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w./@-]+):(?: +(?P<value>.*))?$")
ITEM = re.compile(r"^ *- +(?P<item>.*)$")

DEFAULT = re.compile(r"\$\{" + policy_defaults.NAME + r":([\w.]+)\}")
"""A value that stands in a policy's class."""


@dataclass
class Entry:
    """A key of a YAML file.

    Attributes:
        key: with the keys that it stands below, such as ``base.max_epochs``.
        value: as it stands in the file, or in the class that the file names; empty where keys follow below it.
        comment: what is said beside it and in the lines above it.
    """

    key: str
    value: str
    comment: str


@dataclass
class ConfigFile:
    """What one YAML file says: the comment at its top, its list of defaults, and its keys."""

    header: str
    defaults: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Described:
    """What a class says of itself: the first line of its docstring, and what it says of each argument."""

    summary: str = ""
    arguments: dict[str, str] = field(default_factory=dict)


Describe = Callable[[str], Described]
"""From a ``_target_`` to what its docstring says."""


def explained(file: ConfigFile, describe: Describe) -> ConfigFile:
    """The file, with words of its classes where it has no comment of its own."""
    targets = {one.key.removesuffix("_target_"): describe(one.value) for one in file.entries if is_target(one)}
    entries = []
    for entry in file.entries:
        section, _, name = entry.key.rpartition(".")
        known = targets.get(f"{section}." if section else "", Described())
        entries.append(Entry(entry.key, entry.value, entry.comment or known.arguments.get(name, "")))
    of_file = next((known.summary for known in targets.values() if known.summary), "")
    return ConfigFile(file.header or of_file, file.defaults, entries)


def is_target(entry: Entry) -> bool:
    """Whether an entry names a class of the package."""
    return entry.key.rpartition(".")[2] == "_target_" and entry.value.startswith("parity_exp.")


def read(text: str) -> ConfigFile:
    """Take a YAML file apart, comments included.

    Example:
        >>> file = read("# A pool.\\n\\nsize: 4 # instances\\nbase:\\n  # Of the network.\\n  lr: 0.1 # a rate\\n")
        >>> file.header
        'A pool.'
        >>> [(entry.key, entry.value, entry.comment) for entry in file.entries]
        [('size', '4', 'instances'), ('base', '', ''), ('base.lr', '0.1', 'Of the network. a rate')]
    """
    lines = text.splitlines()
    top = []
    while lines and (lines[0].startswith("#") or not lines[0].strip()):
        line = lines.pop(0).removeprefix("#").strip()
        top += [line] if line and not line.startswith("@package") else []
    file = ConfigFile(" ".join(top))
    stack: list[tuple[int, str]] = []
    above: list[str] = []
    for line in lines:
        found = COMMENT.match(line)
        code, comment = (found["code"].rstrip(), found["comment"] or "") if found else (line, "")
        if not code.strip():
            above = [*above, comment] if comment else []
        elif key := KEY.match(code):
            depth = len(key["indent"])
            stack = [*(one for one in stack if one[0] < depth), (depth, key["key"])]
            path = ".".join(name for _, name in stack)
            if path != "defaults":
                value = DEFAULT.sub(default_of_a_class, key["value"] or "")
                file.entries.append(Entry(path, value, " ".join([*above, comment]).strip()))
            above = []
        elif item := ITEM.match(code):
            if stack and stack[0][1] == "defaults":
                file.defaults += [item["item"]] if item["item"] != "_self_" else []
            elif file.entries:
                entry = file.entries[-1]
                entry.value = f"{entry.value}, {item['item']}".removeprefix(", ")
                entry.comment = " ".join(filter(None, (entry.comment, comment)))
    return file


def default_of_a_class(found: re.Match[str]) -> str:
    """A default as YAML writes it."""
    return json.dumps(policy_defaults.policy_default(found[1]))


def cell(text: str) -> str:
    """A text as it can stand in a cell of a Markdown table."""
    return linked(text.replace("|", "\\|"))


def linked(text: str) -> str:
    """A comment that names a page of the documentation, as a link to it."""
    return re.sub(r"\bdocs/(\S+\.md)\b", r"[\1](../../\1)", text)


def table(entries: list[Entry]) -> Iterator[str]:
    """The keys of a file as a Markdown table."""
    if not entries:
        return
    yield from ('<div class="keys" markdown>', "", "| key | value | what it says |", "|---|---|---|")
    for entry in entries:
        if not entry.value and not entry.comment:
            continue
        value = (
            f"[`{entry.value}`][{entry.value}]" if is_target(entry) else f"`{cell(entry.value)}`" if entry.value else ""
        )
        yield f"| `{entry.key}` | {value} | {cell(entry.comment)} |"
    yield from ("", "</div>", "")


def choice_section(group: str, name: str, file: ConfigFile) -> Iterator[str]:
    """A choice of a group: its comment, what it builds on, and its keys."""
    yield from (f"## `{group}={name}`", "", linked(file.header), "")
    others = [one for one in file.defaults if not one.startswith("override hydra/")]
    if others:
        yield from ("Chosen with it: " + ", ".join(f"`{one}`" for one in others) + ".", "")
    yield from table(file.entries)


def pages(conf: Path, describe: Describe) -> dict[str, str]:
    """Every page of the reference, by its file name: ``index.md`` for config.yaml, and one for each group."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(conf.rglob("*.yaml")):
        place = path.relative_to(conf)
        if len(place.parts) > 1:
            groups.setdefault(place.parts[0], []).append(path)
    made = {"index.md": "\n".join(primary(read((conf / "config.yaml").read_text()), list(groups)))}
    for group, paths in groups.items():
        lines = [f"# `{group}`", "", f"Choices of the group `{group}`. " + HOW, ""]
        for path in paths:
            parts = path.relative_to(conf).with_suffix("").parts
            # What lies deeper is a group of its own, such as straggler/distribution; experiments keep their path.
            deep = () if group == "experiment" else parts[1:-1]
            of = "/".join((group, *deep))
            name = "/".join(parts[1:]) if group == "experiment" else parts[-1]
            lines += choice_section(of, name, explained(read(path.read_text()), describe))
        made[f"{group}.md"] = "\n".join(lines)
    return made


HOW = (
    "A value is changed by its place in the composed config, which `--cfg job` shows. What stands here is read from "
    "the YAML files, their comments and the docstrings of their classes when this site is built."
)


def primary(file: ConfigFile, groups: list[str]) -> Iterator[str]:
    """The page on config.yaml."""
    yield from ("# Configuration", "", file.header, "")
    yield from (
        "Everything that a command does is decided by one composed config. `GROUP=CHOICE` on the command line takes "
        "another part of it, `KEY=VALUE` changes one value; `python -m parity_exp train --cfg job` shows the result.",
        "",
        "## Groups",
        "",
        "| group | default |",
        "|---|---|",
    )
    chosen = dict(one.split(": ", 1) for one in file.defaults if ": " in one)
    for group in groups:
        yield (
            f"| [`{group}`]({group}.md) | `{chosen[group]}` |" if group in chosen else f"| [`{group}`]({group}.md) | |"
        )
    yield from (
        "",
        "A group can be chosen once more for another part of the config: "
        + ", ".join(f"`{key}={value}`" for key, value in chosen.items() if "@" in key)
        + ".",
        "",
        "## Values that belong to no group",
        "",
    )
    yield from table([entry for entry in file.entries if not entry.key.startswith("hydra")])
