"""Where in the config a setting stands that a class or a function knows by its argument's name."""

from collections.abc import Iterator
from contextlib import contextmanager

from parity_exp.checks import SettingError
from parity_exp.errors import ConfigError

OF_POOL = ("instances", "batch_size", "batch_window_ms")
OF_SIMULATION = (
    "service_time", "service_time_ms", "backup_ratio",
    "multiplexed_ratio", "network", "network_ms", "restart", "restart_ms", "prefetch",
    "interrupt_ms", "seeds", "processes", "ray", "accuracy",
)  # fmt: skip
OF_PLAN = ("slo_ms", "slo_times_p50", "percentile", "most_instances", "least_utilisation", "precision")

OF_CLIENT = ("batch", "input", "shape", "datatype", "tls_ca", "tls_insecure")

OF_TRAINER = ("check_val_every_n_epoch", "limit_val_batches", "max_time")

KEYS = {
    "data": "dataset",
    "epochs": "trainer.max_epochs",
    "base_optimizer": "base.optimizer",
    "gradient_clip_val": "optimisation.gradient_clip_val",
    "policies": "redundancy",
    "measured": "simulate.calibrate",
    **{name: f"pool.{name}" for name in OF_POOL},
    **{name: f"simulate.{name}" for name in OF_SIMULATION},
    **{name: f"plan.{name}" for name in OF_PLAN},
    **{name: f"trainer.{name}" for name in OF_TRAINER},
    **{name: f"client.{name}" for name in OF_CLIENT},
}
"""Keys of arguments of ``train``, ``serve``, ``simulate`` and ``plan`` that are called otherwise in the config."""


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
