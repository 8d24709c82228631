"""Docstrings as the site's Markdown wants them: Sphinx' roles become plain code, examples are shown as code."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|data|mod|attr|exc|obj):`~?(?P<path>[^`]+)`")

CODE_FOLLOWS = re.compile(r"::$", re.MULTILINE)

EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


def plain(text: str) -> str:
    """The text without the marks of reStructuredText: roles are names, and code follows a colon.

    Example:
        >>> plain("See :class:`parity_exp.coding.Code` and :meth:`Code.decode`.")
        'See `Code` and `decode`.'
    """
    text = ROLE.sub(lambda role: f"`{role['path'].rpartition('.')[2]}`", text)
    return EXAMPLE.sub(r"\1Examples:", CODE_FOLLOWS.sub(":", text))


class PlainRoles(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)
