"""What was found: a row each, with what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from rich.console import Console
from rich.text import Text


class State(Enum):
    """How a finding is."""

    GOOD = "ok"
    MISSING = "--"
    """Not there, and not needed."""
    BROKEN = "!!"
    """Needed, or there and out of order."""


COLOURS = {State.GOOD: "green", State.MISSING: "yellow", State.BROKEN: "bold red"}


@dataclass(frozen=True)
class Finding:
    """A row.

    Attributes:
        name: what was looked at.
        text: what was seen.
        state: how that is.
        remedy: what to do about it, a command where there is one; empty where nothing is to be done.
    """

    name: str
    text: str
    state: State = State.GOOD
    remedy: str = ""

    @property
    def line(self) -> str:
        """All of it in one line."""
        return one_line(f"{self.name}: {self.text}" + (f"; {self.remedy}" if self.remedy else ""))


def one_line(text: str) -> str:
    """A text without its line breaks and runs of blanks."""
    return " ".join(text.split())


def show(console: Console, title: str, findings: Iterable[Finding]) -> None:
    """Print findings below a title; lines are as long as they need, so that commands can be copied from a pipe."""
    console.print(Text(title, "bold"), soft_wrap=True)
    found = list(findings)
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        row = Text(f"  {one.state.value} ", COLOURS[one.state])
        row.append(f"{one.name:<{width}}  ", "default")
        row.append(one_line(one.text), "default")
        console.print(row, soft_wrap=True)
        if one.remedy:
            console.print(Text(f"     {'':<{width}}  -> {one_line(one.remedy)}", "dim"), soft_wrap=True)
    console.print()
