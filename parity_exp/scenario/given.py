"""What a program gives as policies and stragglers, brought to one form: objects by name."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from parity_exp.checks import SettingError
from parity_exp.disturbances import Straggler
from parity_exp.policies.needs import Declares, Needs
from parity_exp.policies.policy import Policy

GivenPolicy = Policy | Callable[..., Policy]
"""A policy at the beginning of a run, or what makes one of ``k`` and ``r``, such as its class."""

GivenPolicies = GivenPolicy | Mapping[str, GivenPolicy] | Iterable[GivenPolicy]
GivenNeeds = Needs | Declares | Mapping[str, Needs | Declares] | None
"""What a code needs, or what says so, such as a code; by policy, or the same for all."""

GivenStragglers = Straggler | Mapping[str, Straggler] | Iterable[Straggler] | None

NAME = re.compile(r"[^/\\\s][^/\\\n]*")
"""Names of policies are parts of the names of files and metrics."""

T = TypeVar("T")


def policies_by_name(given: GivenPolicies, k: int, r: int) -> dict[str, Policy]:
    """Policies by name, in the order in which they were given.

    Args:
        given: one policy, several, or several by name; without a name a policy has that of its class.
        k: for those that are still to be made.
        r: likewise.

    Raises:
        SettingError: what is no policy, or no name.
    """
    named = _named("policies", given, Policy)
    if not named:
        raise SettingError("{policies}: there is none; give one or more, such as {'parity': Parity(k=2, r=1)}")
    return {name: _made(name, one, k, r) for name, one in named.items()}


def stragglers_by_name(given: GivenStragglers) -> dict[str, Straggler]:
    """Stragglers by name; each draws its random numbers by the seed and its name.

    Args:
        given: none, one, several, or several by name; without a name a straggler has that of its class.

    Raises:
        SettingError: what is no straggler.
    """
    named = {} if given is None else _named("straggler", given, Straggler)
    for name, one in named.items():
        if not isinstance(one, Straggler):
            raise SettingError(f"{{straggler.{name}}}={_shown(one)}: expected an object of a Straggler's class")
    return named


def needs_by_name(given: GivenNeeds, policies: Mapping[str, Policy]) -> dict[str, Needs]:
    """What the code of each policy needs, of those of which something is said.

    Args:
        given: one for all policies, or by policy.
        policies: by name.

    Raises:
        SettingError: what says nothing of the kind, or no policy's name.
    """
    by_name = given if isinstance(given, Mapping) else {} if given is None else dict.fromkeys(policies, given)
    if others := sorted(set(by_name) - set(policies)):
        raise SettingError(f"{{code}}: there is no policy {others[0]}; expected some of {', '.join(policies)}")
    found: dict[str, Needs] = {}
    for name, one in by_name.items():
        needs = getattr(one, "needs", one)
        if not isinstance(needs, Needs):
            raise SettingError(
                f"{{code}}={_shown(one)}: expected a code or decoder with parity models, or Needs(k, members)"
            )
        found[name] = needs
    return found


def _made(name: str, given: GivenPolicy, k: int, r: int) -> Policy:
    if not NAME.fullmatch(name):
        raise SettingError(f"{{policies}}: {name!r} is no name of a policy, for files are named after it")
    made = given if isinstance(given, Policy) else given(k=k, r=r) if callable(given) else given
    if not isinstance(made, Policy):
        raise SettingError(
            f"{{policies.{name}}}={_shown(made)}: expected a Policy, or a class that makes one of k and r"
        )
    return made


def _named(what: str, given: Any, kind: type) -> dict[str, Any]:
    """One, several, or several by name, by name."""
    if isinstance(given, Mapping):
        return {str(name): one for name, one in given.items()}
    several = [given] if isinstance(given, kind | type) or callable(given) else given
    if isinstance(several, str) or not isinstance(several, Iterable):
        raise SettingError(f"{{{what}}}={_shown(given)}: expected objects by name, such as {{'name': object}}")
    named: dict[str, Any] = {}
    for one in several:
        name = _own_name(one)
        if name in named:
            raise SettingError(f"{{{what}}}: two are called {name}; give them names, as in {{'name': object}}")
        named[name] = one
    return named


def _own_name(given: Any) -> str:
    """What something is called that was given without a name: as its class, in the form of names in a config."""
    kind = given if isinstance(given, type) else type(getattr(given, "func", given))
    looks = vars(kind).get("looks", ())
    if len(looks) == 1 and looks[0].name:
        return str(looks[0].name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
