"""Settings that cannot be: refused in one line that names the setting, wherever it was given.

A class's annotations say which values its constructor takes (see :mod:`parity_exp.ranges`). The config's schema reads
them there, and :class:`Checked` holds Python programs to the same. Who makes objects from a config knows where each
setting stands, and has the line name that place (:meth:`SettingError.at`).
"""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Self, get_type_hints

from parity_exp.values import accepts, words

NAME = re.compile(r"\{(/?)([\w.-]+)\}")
"""A setting in the text of an error: ``{on_s}``, or ``{/instances}`` for one of another object."""

NULL = "{null}"
"""In the text of an error: ``None``, which configs call ``null``."""

LONGEST = 100
"""Characters of a value that are shown."""


class SettingError(ValueError):
    """A setting, or a combination of settings, that cannot work.

    Args:
        text: one line: the setting in braces, its value, what was expected, what to do. Settings of other objects, as
            the number of instances is for a straggler, have a slash before their name: ``{/instances}``.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return NAME.sub(lambda name: "None" if name[0] == NULL else name[2], self.text)

    def within(self, place: str) -> Self:
        """The same error of an object that is itself an argument: ``{on_s}`` becomes ``{load.on_s}``."""
        text = NAME.sub(lambda name: name[0] if name[1] or name[0] == NULL else f"{{{place}.{name[2]}}}", self.text)
        return type(self)(text if text.startswith("{") else f"{{{place}}}: {text}")

    def at(self, key_of: Callable[[str], str]) -> str:
        """The text with other names of settings, such as their keys in a config.

        Args:
            key_of: the key of a setting by its name, which begins with a slash for settings of other objects.
        """
        return NAME.sub(lambda name: "null" if name[0] == NULL else key_of(name[1] + name[2]), self.text)


class Checked:
    """Base of classes whose constructors refuse values that are not what their annotations say.

    Subclasses are checked likewise, in every constructor of their own.

    Raises:
        SettingError: a :class:`ValueError` that names the argument, its value and what was expected.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        constructor = cls.__dict__.get("__init__")
        if constructor is not None:
            cls.__init__ = _checked(constructor)  # type: ignore[method-assign]


def _checked(constructor: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(constructor)

    @functools.cache
    def hints() -> Mapping[str, Any]:
        try:
            return get_type_hints(constructor, include_extras=True)
        except Exception:  # names that exist for a type checker only
            return {}

    @functools.wraps(constructor)
    def check(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            given = signature.bind(self, *args, **kwargs).arguments
        except TypeError:
            given = {}  # the call tells what is wrong with it
        for name, value in given.items():
            if signature.parameters[name].kind not in SEVERAL:
                check_setting(name, value, hints().get(name, Any))
        constructor(self, *args, **kwargs)

    return check


SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_fields(made: Any) -> None:
    """Refuse a data class's object a field of which is not what its annotation says; for ``__post_init__``.

    Raises:
        SettingError: with the field's name, its value and what was expected.
    """
    for name, annotation in get_type_hints(type(made), include_extras=True).items():
        check_setting(name, getattr(made, name), annotation)


def at_most_one(values: Mapping[str, Any]) -> None:
    """Of several settings, by their names, only one can be given; the others are None.

    Raises:
        SettingError: more than one is given.
    """
    given = [f"{{{name}}}" for name, value in values.items() if value is not None]
    if len(given) > 1:
        raise SettingError(f"{' and '.join(given)}: give one of them and leave the other {{null}}")


def check_setting(name: str, value: Any, annotation: Any) -> None:
    """Refuse a value that is not of an annotated type.

    Raises:
        SettingError: with the name, the value and what was expected.
    """
    if not accepts(value, annotation):
        shown = str(value)
        shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
        raise SettingError(f"{{{name}}}={shown}: expected {words(annotation, value, python=True)}")
