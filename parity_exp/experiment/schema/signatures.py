"""Which arguments a component's class takes, and what its annotations say about them."""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from parity_exp.experiment.schema.libraries import TRAINER_NAMES, annotations_of_libraries


@dataclass(frozen=True)
class Signature:
    """What can be called with which arguments.

    Attributes:
        target: the class or function.
        arguments: the annotations of its arguments by name; ``Any`` where there is none.
        open: whether it takes others as well.
    """

    target: Any
    arguments: Mapping[str, Any]
    open: bool


def find(target: str) -> Any:
    """The class or function of a dotted name.

    Raises:
        ImportError: there is none, or importing its module fails; with the reason.
    """
    parts = target.split(".")
    if not all(part.isidentifier() for part in parts) or len(parts) < 2:
        raise ImportError("expected a class in a module, such as my_codes.MyEncoder")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
                raise ImportError(f"importing {module} fails: {error}") from error
            if length == 1:
                raise ImportError(f"there is no module {module} (looked for in the current folder, too)") from error
            continue
        except Exception as error:
            raise ImportError(f"importing {module} fails: {type(error).__name__}: {error}") from error
        for at, part in enumerate(parts[length:], length):
            try:
                found = getattr(found, part)
            except AttributeError:
                raise ImportError(f"{'.'.join(parts[:at])} has no {part}") from None
        return found
    raise ImportError("there is no such module")


@functools.cache
def signature_of(target: str, names: frozenset[str]) -> Signature:
    """The arguments of a class or function by its dotted name.

    Args:
        target: the dotted name.
        names: of the arguments that are asked for.

    Raises:
        ImportError: it cannot be imported, or is no class or function.
    """
    narrowed = annotations_of_libraries(target)
    if target in TRAINER_NAMES and names <= narrowed.keys():
        return Signature(None, narrowed, False)  # without an import that takes seconds
    found = find(target)
    if not callable(found):
        raise ImportError("it is no class or function")
    arguments, is_open = _arguments(found)
    return Signature(found, {**arguments, **{name: narrowed[name] for name in arguments if name in narrowed}}, is_open)


def _arguments(target: Any) -> tuple[dict[str, Any], bool]:
    if not isinstance(target, type):
        return _of_callable(target, bound=False)
    arguments: dict[str, Any] = {}
    is_open = False
    # What a constructor hands on with ** its base classes take.
    for owner in target.__mro__:
        constructor = vars(owner).get("__init__")
        if constructor is None or owner is object:
            continue
        more, is_open = _of_callable(constructor, bound=True)
        arguments = {**more, **arguments}
        if not is_open:
            return arguments, False
    return arguments, is_open


def _of_callable(function: Callable[..., Any], bound: bool) -> tuple[dict[str, Any], bool]:
    try:
        parameters = list(inspect.signature(function).parameters.values())[bound:]
    except (TypeError, ValueError):
        return {}, True  # of another language, say
    try:
        hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    except Exception:
        hints = {}  # names that exist for a type checker only
    named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    is_open = any(one.kind is one.VAR_KEYWORD for one in parameters)
    return {one.name: hints.get(one.name, Any) for one in named}, is_open
