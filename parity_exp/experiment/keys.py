"""Where in the config a setting stands that a class or a function knows by its argument's name."""

from collections.abc import Iterator
from contextlib import contextmanager

from parity_exp.checks import SettingError
from parity_exp.errors import ConfigError

OF_POOL = ("instances", "batch_size", "batch_window_ms")
OF_SIMULATION = (
    "service_time", "service_time_ms", "backup_ratio", "network", "network_ms", "restart", "restart_ms", "prefetch",
    "seeds", "processes",
)  # fmt: skip
OF_PLAN = ("slo_ms", "slo_times_p50", "percentile", "most_instances", "least_utilisation", "precision")

KEYS = {
    "policies": "redundancy",
    "measured": "simulate.calibrate",
    **{name: f"pool.{name}" for name in OF_POOL},
    **{name: f"simulate.{name}" for name in OF_SIMULATION},
    **{name: f"plan.{name}" for name in OF_PLAN},
}
"""Keys of arguments of ``serve``, ``simulate`` and ``plan`` that are called otherwise in the config."""


def key_of(name: str) -> str:
    """The key of a setting, such as ``instances`` or ``policies.parity``; with or without a slash before it."""
    first, dot, rest = name.removeprefix("/").partition(".")
    return KEYS.get(first, first) + dot + rest


@contextmanager
def naming_keys() -> Iterator[None]:
    """Let what is refused in the block name keys of the config, and not arguments.

    Raises:
        ConfigError: in the place of a :class:`~parity_exp.checks.SettingError`.
    """
    try:
        yield
    except SettingError as error:
        raise ConfigError(error.at(key_of)) from None
