"""W&B's own environment variables, which hold wherever the config says nothing.

What is passed to ``wandb.init`` beats the environment, so whatever has a default of ours is looked up here first. What
we leave alone (``WANDB_BASE_URL``, ``WANDB_RESUME``, ...) W&B reads itself.
"""

import logging
import os
from typing import Any

log = logging.getLogger(__name__)

MODES = {
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
    "shared": "shared",
    "run": "online",
    "dryrun": "offline",
}
"""What ``WANDB_MODE`` may be, older words included, and what it is called today."""

INIT_TIMEOUT_S = 30.0
"""How long to wait for the server, unless ``WANDB_INIT_TIMEOUT`` says otherwise."""


def variable(name: str) -> str | None:
    """A variable's value; None where it is not set or empty."""
    return os.environ.get(f"WANDB_{name}", "").strip() or None


def tags() -> list[str]:
    """``WANDB_TAGS``, between commas."""
    return [tag for tag in map(str.strip, (variable("TAGS") or "").split(",")) if tag]


def mode() -> str:
    """``WANDB_MODE``, or online; what is no mode is offline, with a warning."""
    given = (variable("MODE") or "online").lower()
    if given not in MODES:
        log.warning("WANDB_MODE=%s: expected %s; the run is tracked offline", given, ", ".join(MODES))
    return MODES.get(given, "offline")


def mend() -> None:
    """Put into the environment what we have read from it, for W&B reads it itself and raises at what it cannot read.

    A variable without a value counts as none that is set: W&B would take it for one empty tag, say.
    """
    mended = {"MODE": mode(), "TAGS": ",".join(tags()), "INIT_TIMEOUT": f"{init_timeout_s():g}"}
    for name, value in mended.items():
        if variable(name) is not None:
            os.environ[f"WANDB_{name}"] = value
    for name in [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value.strip()]:
        del os.environ[name]


def init_timeout_s() -> float:
    """``WANDB_INIT_TIMEOUT``, where it is a time."""
    given = variable("INIT_TIMEOUT")
    try:
        seconds = INIT_TIMEOUT_S if given is None else float(given)
    except ValueError:
        seconds = -1.0
    if 0 < seconds < 1e6:
        return seconds
    log.warning("WANDB_INIT_TIMEOUT=%s: expected seconds; it is %g", given, INIT_TIMEOUT_S)
    return INIT_TIMEOUT_S


def quiet_settings() -> dict[str, Any]:
    """Settings by which W&B says nothing and looks at nothing, except those that a variable sets."""
    ours = {"silent": True, "console": "off", "disable_git": True}
    return {name: value for name, value in ours.items() if variable(name.upper()) is None}
