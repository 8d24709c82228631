"""The one screen that ``COMMAND --help`` shows, and the list of a group's choices that ``COMMAND --help GROUP`` shows.

It is made from what the command declares (:class:`parity_exp.experiment.usage.Usage`) and from the config as the
command line composes it, so that no default and no choice stands anywhere twice.
"""

import argparse
import shlex
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from parity_exp.errors import ConfigError
from parity_exp.experiment import suggestions
from parity_exp.experiment.command_line import parsed
from parity_exp.experiment.composing import Composed, composed
from parity_exp.experiment.usage import Usage

NARROWEST, WIDEST = 80, 120
"""Columns; a terminal between them is used as it is."""

CHOSEN = "*"
"""Marks the choice that is taken where nobody makes one."""

MOST_LINES = 56
"""Lines of a command's screen; where it would be longer, it leaves out the last choices of groups with many."""

LINES_OF_A_GROUP = (6, 4, 3, 2, 1)
"""Lines that a group takes, at most: the first of these with which the screen is short enough."""

MORE = (
    "The whole config: --cfg job, and --resolve for its values; where each part comes from: --info defaults. -m tries "
    "all that stands between commas. Hydra's own help: --hydra-help."
)

OTHER_FLAGS_WITH_VALUES = (
    ("--config-name", "-cn"),
    ("--config-path", "-cp"),
    ("--package", "-p"),
    ("--cfg", "-c"),
    ("--info", "-i"),
    ("--experimental-rerun", "-er"),
)
"""Flags of Hydra's that take a word behind them, which is no override then."""


def asked_for(program: str, command: str, line: str, usage: Usage, words: Sequence[str], config_folder: Path) -> str:
    """What a command line with ``--help`` in it asks for: the command's screen, or the choices of a group.

    Args:
        program: how the program is called.
        command: the command.
        line: what it does, in one line.
        usage: what it says of itself.
        words: those behind the command; overrides among them count.
        config_folder: where ``config.yaml`` is.

    Raises:
        ConfigError: a group that there is not.
    """
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    flags.add_argument("--config-dir", "-cd")
    for long, short in OTHER_FLAGS_WITH_VALUES:
        flags.add_argument(long, short)
    given, others = flags.parse_known_args(list(words))
    plain = [word for word in others if not word.startswith("-")]
    overrides = [word for word in plain if (one := parsed(word)) is None or not one.is_sweep_override()]
    group = next((word for word in overrides if "=" not in word), None)
    overrides = [f"hydra.job.name={command}", *usage.assumed, *(word for word in overrides if "=" in word)]
    if given.config_dir is not None:
        overrides.append(f"hydra.searchpath=[{Path(given.config_dir).absolute().as_uri()}]")
    with composed(config_folder, overrides) as there:
        if group is not None:
            return group_screen(group, usage, there)
        return help_screen(f"{program} {command}", line, usage, there)


def help_screen(program: str, line: str, usage: Usage, there: Composed) -> str:
    """The screen of a command.

    Args:
        program: how the command is given, ``parity-exp train``.
        line: what it does, in one line.
        usage: what it says of itself.
        there: the config.
    """
    width = screen_width()
    rows = [(shlex.quote(word), f"{meaning} [{there.default(word)}]") for word, meaning in usage.overrides.items()]
    above = [
        _paragraph(f"{program} [KEY=VALUE ...]: {line}", width),
        _paragraph(usage.text, width),
        "Overrides most used, each by an example; in brackets what it is otherwise:\n" + _table(rows, width),
    ]
    examples = [(f"{program.partition(' ')[0]} {words}", f"# {text}") for words, text in usage.examples.items()]
    below = ["Examples:\n" + _table(examples, width), _paragraph(MORE, width)]
    if not usage.groups:
        return "\n\n".join([*above, *below])
    groups = [(group.removesuffix("/*"), _choices(group, there)) for group in usage.groups]
    title = f"Groups, GROUP=CHOICE; {CHOSEN} is taken otherwise; --help GROUP has a line a choice:\n"
    screens = (
        "\n\n".join([*above, title + _table(groups, width, most_lines=lines), *below]) for lines in LINES_OF_A_GROUP
    )
    for screen in screens:
        if len(screen.splitlines()) <= MOST_LINES:
            break
    return screen


def group_screen(group: str, usage: Usage, there: Composed) -> str:
    """All choices of a group, each with what its file says of it.

    Args:
        group: its name.
        usage: of the command that was asked.
        there: the config.

    Raises:
        ConfigError: there is no such group.
    """
    name = group.rstrip("=/")
    if not there.is_group(name):
        known = [one.removesuffix("/*") for one in usage.groups]
        hint = suggestions.did_you_mean(name, known) or f"there are {', '.join(known)}"
        raise ConfigError(f"{group}: no group of the config; {hint}")
    plain = name.partition("@")[0]
    names = list(_all_choices(plain, there)) if f"{plain}/*" in usage.groups else there.choices(plain)
    rows = [(f"{name}={choice}", there.comment(f"{plain}/{choice}")) for choice in names]
    return _table(rows, screen_width(), indent="")


def screen_width() -> int:
    """Columns to write in."""
    return min(WIDEST, max(NARROWEST, shutil.get_terminal_size((100, 24)).columns))


def _choices(group: str, there: Composed) -> str:
    """Choices between commas, those taken marked, and folders of more with their number."""
    name = group.removesuffix("/*")
    taken = there.chosen(name)
    plain = name.partition("@")[0]
    folders = there.folders(plain) if group.endswith("/*") else []
    words = [f"{folder}/... ({len(list(_all_choices(f'{plain}/{folder}', there)))})" for folder in folders]
    words += [f"{choice}{CHOSEN if choice in taken else ''}" for choice in there.choices(plain)]
    return ", ".join(words)


def _all_choices(group: str, there: Composed) -> Iterator[str]:
    """The choices of a group and of all folders in it."""
    yield from there.choices(group)
    for folder in there.folders(group):
        yield from (f"{folder}/{choice}" for choice in _all_choices(f"{group}/{folder}", there))


def _table(rows: Sequence[tuple[str, str]], width: int, indent: str = "  ", most_lines: int | None = None) -> str:
    """Two columns, the second wrapped beside the first; below a first that takes most of the line."""
    first = max((len(word) for word, _ in rows if len(word) <= width // 2), default=0)
    lines = []
    for word, text in rows:
        start = f"{indent}{word:<{first}}  "
        beside = " " * (len(indent) + first + 2)
        if len(word) > first and len(start) + len(text) > width:
            lines.append(f"{indent}{word}")
            start = beside
        lines += textwrap.wrap(
            text,
            width,
            initial_indent=start,
            subsequent_indent=beside,
            break_long_words=False,
            break_on_hyphens=False,
            max_lines=most_lines,
            placeholder=" ...",
        ) or [start.rstrip()]
    return "\n".join(lines)


def _paragraph(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False))
