"""What a policy's setting is by default stands in one place, the policy's class; YAML files ask it."""

import inspect
from typing import Any

from omegaconf import OmegaConf

from parity_exp import policies
from parity_exp.errors import ConfigError

NAME = "default"
"""``${default:Hedged.percentile}`` in a YAML file is what the class ``Hedged`` takes unless it is told."""


def policy_default(place: str) -> Any:
    """The default of a setting.

    Args:
        place: name of one of this package's policies and its argument, such as ``Hedged.percentile``.

    Raises:
        ConfigError: there is no such policy, or its argument has no default.
    """
    policy, _, setting = place.partition(".")
    known = policy in policies.__all__
    argument = inspect.signature(getattr(policies, policy)).parameters.get(setting) if known else None
    if argument is None or argument.default is inspect.Parameter.empty:
        raise ConfigError(
            f"${{{NAME}:{place}}}: expected a policy of parity_exp.policies and a setting that it has a default for, "
            "such as Hedged.percentile"
        )
    return argument.default


def register() -> None:
    """Let configs of this process ask. Calling it again changes nothing."""
    OmegaConf.register_new_resolver(NAME, policy_default, replace=True)
