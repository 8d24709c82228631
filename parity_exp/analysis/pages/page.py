"""What a page of a report is made of: sections of text, tables and pictures, and the file that they become.

The template ``report.html.j2`` says how these look and knows nothing of what they are about. A page is one file that
needs no network and no scripts, and its own policy forbids both.
"""

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from parity_exp.analysis.figures.files import DPI
from parity_exp.files.writing import write_text

TEMPLATE = "report.html.j2"
CSS_DPI = 100  # pixels of the page to an inch of a figure
LONGEST_WORD = 24
LONG_WORDS = re.compile(rf"(\S{{{LONGEST_WORD}}})")


@dataclass(frozen=True)
class Link:
    """A cell that leads somewhere; ``href`` is relative to the page and quoted."""

    text: str
    href: str


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        columns: their names.
        rows: a cell a column.
        title: stands above it.
        folded: hide the table behind its title until it is asked for.
        words: so many columns, from the first, are of words, stand to the left and break into lines.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
    title: str = ""
    folded: bool = False
    words: int = 1


@dataclass(frozen=True)
class Picture:
    """A PNG file as a data URI, its width on the page in CSS pixels, and what to see in it."""

    name: str
    source: str
    width: int
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own."""

    anchor: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.text or self.tables or self.pictures or self.code)


def picture(name: str, png: bytes, caption: str) -> Picture:
    """A picture from the content of a PNG file that :func:`parity_exp.analysis.figures.files.save` wrote."""
    pixels = int.from_bytes(png[16:20], "big")  # PNG: the first chunk begins with the width
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return Picture(name, source, round(pixels * CSS_DPI / DPI), caption)


class Page(ABC):
    """A page about something: what a kind of page says is its own; how a page looks is the same for all."""

    @property
    @abstractmethod
    def title(self) -> str:
        """One line that says what it is about."""

    @property
    @abstractmethod
    def summary(self) -> Sequence[str]:
        """What the numbers say, in sentences."""

    @property
    @abstractmethod
    def warnings(self) -> Sequence[str]:
        """What a reader must know before believing anything else."""

    @abstractmethod
    def sections(self) -> Sequence[Section]:
        """Everything else; empty sections are left out."""

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            OSError: the folder is missing, read-only or full.
        """
        write_page(path, self.title, self.summary, self.warnings, self.sections())


def write_page(
    path: Path, title: str, summary: Sequence[str], warnings: Sequence[str], sections: Sequence[Section]
) -> None:
    """Write a page; sections that are empty are left out, and out of the table of contents."""
    environment = Environment(
        loader=PackageLoader("parity_exp.analysis.pages", ""), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["joints"] = joints
    text = environment.get_template(TEMPLATE).render(
        title=title,
        run_name="/".join(path.parent.resolve().parts[-3:]),
        warnings=warnings,
        summary=summary,
        sections=[section for section in sections if not section.empty],
    )
    write_text(path, text)


def joints(text: str) -> list[str]:
    """Text in the pieces between which it may go on in another line: paths, keys and names have joints.

    Long words without any have one after every ``LONGEST_WORD`` characters, so that no cell widens the page.
    """
    return [piece for part in re.split(r"(?<=[=_/.])(?=\w)", text) for piece in LONG_WORDS.split(part) if piece]
