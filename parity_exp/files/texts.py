"""Text files that list a data set's samples, as any editor or system writes them."""

import codecs
import posixpath
import unicodedata

ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Marks at the beginning of a text, and what they say of it; without one it is UTF-8."""

NO_TEXT = ("Cc", "Cn", "Co", "Cs")
"""Unicode's categories of what no text has: controls, and numbers that are no letters."""

SPACES = "\t\n\r\f\v"


def decoded(content: bytes) -> str:
    """The text in a file's bytes, without its byte order mark.

    Raises:
        ValueError: they are no text.
    """
    encoding = next((encoding for mark, encoding in ENCODINGS if content.startswith(mark)), "utf-8")
    text = content.decode(encoding)
    for letter in set(text):
        if letter not in SPACES and unicodedata.category(letter) in NO_TEXT:
            raise ValueError(f"it holds {letter!r}")
    return text


def path_in_list(line: str) -> str:
    r"""A path as a list gives it, ``./a\b.wav`` as ``a/b.wav``.

    Raises:
        ValueError: none, or one that leads out of the folder.
    """
    path = posixpath.normpath(line.strip().replace("\\", "/"))
    if path in (".", "..") or path.startswith(("../", "/")):
        raise ValueError(f"{line.strip()!r} is no path in the folder")
    return path
