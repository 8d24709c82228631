"""Texts in files of their own: whatever encoding they are in, and nothing that is no text."""

import unicodedata
from pathlib import Path

from parity_exp.errors import DataError
from parity_exp.files.texts import ENCODINGS
from parity_exp.files.whole_files import whole

OLD_ENCODINGS = ("cp1252", "latin-1")
"""What a text is taken for that is not UTF-8, nor marked as UTF-16: that of old mails; the last one takes any byte."""

MOST_CONTROLS = 0.05
"""Share of letters that are controls from which on a file is no text; terminals and old mails leave some."""

KEPT = "\t\n\r"


def read_text(path: Path, encoding: str | None = None) -> str:
    """The text in a file.

    Args:
        path: the file.
        encoding: in Python's words; None: UTF-8, UTF-16 with its mark, or an old encoding of one byte a letter.

    Raises:
        DataError: it is missing, empty, binary, or in another encoding; the message goes on after its name.
    """
    content: bytes = whole(path.read_bytes, "text")
    return plain_text(_decoded(content, encoding))


def plain_text(text: str) -> str:
    """A text with spaces in place of controls.

    Raises:
        DataError: it is empty or binary; the message goes on after what it is the text of.
    """
    if not text.strip():
        raise DataError("is empty")
    controls = {letter for letter in set(text) if unicodedata.category(letter) == "Cc" and letter not in KEPT}
    if not controls:
        return text
    if "\0" in controls or sum(map(text.count, controls)) > MOST_CONTROLS * len(text):
        raise DataError("is binary, not text")
    return text.translate({ord(letter): " " for letter in controls})


def _decoded(content: bytes, encoding: str | None) -> str:
    marked = next((name for mark, name in ENCODINGS if content.startswith(mark)), None)
    tried = (encoding,) if encoding else (marked,) if marked else ("utf-8", *OLD_ENCODINGS)
    for name in tried:
        try:
            return content.decode(name)
        except UnicodeDecodeError:
            continue
        except LookupError:
            raise DataError(f"cannot be read: Python knows no encoding {name}") from None
    raise DataError(f"is no text in {tried[0]}")
