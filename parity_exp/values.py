"""Whether a value is of an annotated type, and what that type is in words.

The types are those that YAML has, with the constraints of ``annotated_types``: numbers with ranges, texts, literals,
and lists and mappings of them. A whole number is a number, ``true`` is none, nor are infinity and NaN. Configs have
plain values alone (:func:`fits`), programs have objects as well (:func:`accepts`).
"""

import math
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen

from parity_exp.ranges import Matches

NOUNS: dict[Any, tuple[str, str]] = {
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    type(None): ("null", "nulls"),
}
"""Plain types, and what one value of them is called, and several."""

IN_PYTHON = {"null": "None", "true or false": "True or False"}
"""What is called otherwise there than in a config."""

WITHOUT_LIMIT = 10**8
"""Upper ends of ranges from here on are mentioned only where a value is beyond."""

LISTS = (Sequence, Iterable, list, tuple)
MAPPINGS = (Mapping, dict)


@dataclass(frozen=True)
class Kind:
    """One alternative of a type: a noun and its constraints.

    Attributes:
        noun: a plain type, a literal's values, a list, a mapping, or another class.
        constraints: of ``annotated_types``, and :class:`Matches`.
    """

    noun: Any
    constraints: tuple[Any, ...] = ()

    @property
    def origin(self) -> Any:
        return get_origin(self.noun) or self.noun

    def fits(self, value: Any) -> bool:
        """Whether a plain value is one of these; whatever is in other classes' values they know themselves."""
        return self._is_one(value) and all(_holds(one, value) for one in self.constraints)

    def _is_one(self, value: Any) -> bool:
        origin = self.origin
        if origin is Literal:
            return any(type(value) is type(one) and value == one for one in get_args(self.noun))
        if origin is float:
            return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
        if origin is int:
            return not isinstance(value, bool) and isinstance(value, Integral)
        if origin in NOUNS:
            return type(value) is origin
        if origin in LISTS:
            return isinstance(value, list | tuple) and self._elements_fit(value)
        if origin in MAPPINGS:
            inner = (*get_args(self.noun), Any, Any)[:2]
            return isinstance(value, Mapping) and all(
                fits(name, inner[0]) and fits(one, inner[1]) for name, one in value.items()
            )
        if isinstance(value, Mapping):  # the settings of an object of such a class
            return "_target_" in value or not _is_ours(origin)
        return not _is_ours(origin)

    def accepts(self, value: Any) -> bool:
        """Whether a value of a program is one of these: plain, or an object of the class."""
        origin = self.origin
        if origin is Literal or origin in NOUNS:
            return self.fits(value)
        inner = get_args(self.noun)
        if origin in MAPPINGS:
            parts = (*inner, Any, Any)[:2]
            return isinstance(value, Mapping) and all(
                accepts(name, parts[0]) and accepts(one, parts[1]) for name, one in value.items()
            )
        if origin in LISTS:
            if isinstance(value, str | bytes | Mapping):
                return False
            if not isinstance(value, Sequence):  # an array; what can be gone through once only is left alone
                return isinstance(value, Iterable)
            sound = origin is tuple or all(accepts(one, inner[0]) for one in value if inner)
            return sound and all(_holds(one, value) for one in self.constraints)
        return isinstance(value, origin) if isinstance(origin, type) else True

    def _elements_fit(self, values: Sequence[Any]) -> bool:
        inner = get_args(self.noun)
        if self.origin is tuple and inner and inner[-1] is not Ellipsis:
            return len(values) == len(inner) and all(map(fits, values, inner))
        return not inner or all(fits(one, inner[0]) for one in values)

    def words(self, value: Any, several: bool = False, python: bool = False) -> tuple[str, str]:
        """The noun and its range in words, the range as far as it matters for a value."""
        patterns = [one.words for one in self.constraints if isinstance(one, Matches)]
        noun = patterns[0] if patterns else self._noun(value, several)
        if python:
            plain = self.origin in NOUNS or self.origin in (Literal, *LISTS, *MAPPINGS)
            noun = IN_PYTHON.get(noun, noun) if plain else f"a {getattr(self.origin, '__name__', self.origin)}"
        return noun, _range(self.constraints, value, self.origin in LISTS)

    def _noun(self, value: Any, several: bool) -> str:
        origin = self.origin
        if origin is Literal:
            return _one_of([str(one).lower() if isinstance(one, bool) else str(one) for one in get_args(self.noun)])
        if origin in NOUNS:
            return NOUNS[origin][several]
        if origin in LISTS:
            inner = get_args(self.noun)
            most = max([one for one in value if type(one) in (int, float)], default=None) if _is_list(value) else None
            of = words(inner[0], most, True) if inner else "values"
            return "a list of " + of.replace(", ", ", each ", 1)
        if origin in MAPPINGS:
            inner = (*get_args(self.noun), Any, Any)[:2]
            return "keys and values" if inner[1] is Any else f"keys and values that are {words(inner[1], None, True)}"
        return "the settings of a component, with _target_" if _is_ours(origin) else "something else"


def fits(value: Any, annotation: Any) -> bool:
    """Whether a plain value is of an annotated type."""
    return any(kind.noun is Any or kind.fits(value) for kind in kinds(annotation))


def accepts(value: Any, annotation: Any) -> bool:
    """Whether a value of a program is of an annotated type: plain ones as for :func:`fits`, objects of its classes."""
    return any(kind.noun is Any or kind.accepts(value) for kind in alternatives(annotation))


def words(annotation: Any, value: Any = None, several: bool = False, python: bool = False) -> str:
    """What an annotated type is, in words: ``a whole number or null, 1 or more``.

    Args:
        annotation: the type.
        value: what is refused, for ends of ranges that are worth no word otherwise.
        several: in the plural, for the elements of lists.
        python: as a program has it, with classes and ``None``, and not as a config.
    """
    wanted = alternatives(annotation) if python else kinds(annotation)
    parts = [kind.words(value, several, python) for kind in wanted]
    parts.sort(key=lambda part: part[0] in ("null", "None"))
    with_range = [part for part in parts if part[1]]
    if len(with_range) <= 1:
        return ", ".join([_one_of([noun for noun, _ in parts]), *(limits for _, limits in with_range)])
    return _one_of([noun + (limits and f" ({limits})") for noun, limits in parts])


@cache
def kinds(annotation: Any) -> tuple[Kind, ...]:
    """The alternatives of an annotation. Types without a plain value, such as tensors, only where there is no other."""
    found = alternatives(annotation)
    plain = [kind for kind in found if kind.origin in NOUNS or kind.origin in (Literal, Any, *LISTS, *MAPPINGS)]
    nothing_but_null = all(kind.origin is type(None) for kind in plain)
    return tuple(found if nothing_but_null else plain)


@cache
def alternatives(annotation: Any) -> tuple[Kind, ...]:
    """The alternatives of an annotation, all of them."""
    return tuple(_kinds(annotation, ()))


def _kinds(annotation: Any, constraints: tuple[Any, ...]) -> list[Kind]:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _kinds(inner, (*constraints, *more))
    if origin in (Union, types.UnionType):
        return [kind for inner in get_args(annotation) for kind in _kinds(inner, constraints)]
    if annotation is None:
        annotation = type(None)
    return [Kind(annotation, tuple(_flat(constraints)))]


def _flat(constraints: Iterable[Any]) -> Iterable[Any]:
    for one in constraints:
        if isinstance(one, Interval | Len):
            yield from one
        else:
            yield one


def _holds(constraint: Any, value: Any) -> bool:
    if isinstance(constraint, Ge):
        return bool(value >= constraint.ge)
    if isinstance(constraint, Gt):
        return bool(value > constraint.gt)
    if isinstance(constraint, Le):
        return bool(value <= constraint.le)
    if isinstance(constraint, Lt):
        return bool(value < constraint.lt)
    if isinstance(constraint, MinLen):
        return len(value) >= constraint.min_length
    if isinstance(constraint, MaxLen):
        return len(value) <= constraint.max_length
    if isinstance(constraint, Matches):
        return re.fullmatch(constraint.pattern, value) is not None
    return True  # remarks of others


def _range(constraints: Iterable[Any], value: Any, of_list: bool) -> str:
    limits = []
    for one in constraints:
        if isinstance(one, Ge):
            limits.append(f"{_figure(one.ge)} or more")
        elif isinstance(one, Gt):
            limits.append(f"above {_figure(one.gt)}")
        elif isinstance(one, Le) and _is_worth_words(one.le, value):
            limits.append(f"at most {_figure(one.le)}")
        elif isinstance(one, Lt):
            limits.append(f"below {_figure(one.lt)}")
        elif isinstance(one, MinLen):
            few = "at least one of them" if of_list else "not empty"
            limits.append(few if one.min_length == 1 else f"at least {one.min_length} of them")
        elif isinstance(one, MaxLen):
            limits.append(f"at most {one.max_length} of them")
    return " and ".join(limits)


def _is_worth_words(most: Any, value: Any) -> bool:
    """Whether an upper end is low enough to be told, or the value beyond it."""
    return bool(most < WITHOUT_LIMIT) or (type(value) in (int, float) and bool(value > most))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _figure(number: Any) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _one_of(choices: Sequence[str]) -> str:
    return " or ".join([", ".join(choices[:-1]), choices[-1]] if len(choices) > 1 else choices)


def _is_ours(kind: Any) -> bool:
    """Whether a class is one of this package's, objects of which come from components alone."""
    return isinstance(kind, type) and kind.__module__.partition(".")[0] == "parity_exp"
