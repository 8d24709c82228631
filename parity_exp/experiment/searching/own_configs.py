"""Hydra's own Optuna sweeper, where it is installed, registers configs of the same names; these give way to ours."""

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins


def prefer_own_configs() -> None:
    """Make ``hydra/sweeper=optuna`` mean the sweeper of this package, whatever other plugins are there."""
    Plugins.instance()  # which lets all of them register what they have
    sweepers: dict[str, Any] = ConfigStore.instance().repo.get("hydra", {}).get("sweeper", {})
    sweepers.pop("optuna.yaml", None)
    sweepers.pop("sampler", None)
