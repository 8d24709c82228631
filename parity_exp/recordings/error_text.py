"""Texts of errors, which come from anybody's code, as lines that go into messages, logs, tables and pages."""

MAX_TEXT = 1000
"""Characters of an error text at most."""


def one_line(text: str) -> str:
    """An error text as one line that any file and terminal takes, cut to what goes into a message."""
    # Of a text of gigabytes only the beginning is looked at. Surrogates and control characters are written as escapes.
    start = " ".join(text[: 10 * MAX_TEXT].split())
    line = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in start[: MAX_TEXT + 1]
    )
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 3] + "..."
