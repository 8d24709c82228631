"""``doctor``: what there is on this machine and what is missing, and a short train and serve on each device.

It has no run directory: it must work where none can be written. Its overrides are a few of the config's.
"""

import sys
from collections.abc import Sequence

from rich.console import Console

from parity_exp.doctor import examine
from parity_exp.errors import ConfigError
from parity_exp.experiment.command_line import parsed
from parity_exp.experiment.composing import composed
from parity_exp.experiment.config_folder import config_folder

TAKEN = ("pool.devices", "dataset.root", "outputs", "hydra.searchpath")
"""What of the config it looks at."""


def run(words: Sequence[str]) -> int:
    """Examine this machine; return the exit status, 2 where something needed, or a device that is there, fails."""
    for word in words:
        override = parsed(word)
        if override is None or override.key_or_group not in TAKEN or override.is_sweep_override():
            raise ConfigError(f"{word}: doctor takes {', '.join(TAKEN[:-1])} alone; doctor --help shows how")
    with composed(config_folder(), ["dataset=mnist", *words]) as there:
        config = there.config
        devices, outputs, data = config.pool.devices, str(config.outputs), str(config.dataset.root)
    wanted = None if devices == "auto" else _names(devices)
    broken = examine(outputs, data, wanted, words, Console(file=sys.stdout, highlight=False))
    for line in broken:
        print(f"parity-exp doctor: {line}", file=sys.stderr)
    if not broken:
        print("what is needed works" + ("" if wanted is None else f" on {', '.join(wanted)}"))
    return 2 if broken else 0


def _names(devices: object) -> list[str]:
    """The devices that ``pool.devices`` names, each once; a GPU without a number is the first.

    Raises:
        ConfigError: it names none.
    """
    words = devices.split(",") if isinstance(devices, str) else list(devices) if hasattr(devices, "__iter__") else []
    names = [str(word).strip() for word in words]
    if not names or not all(names):
        raise ConfigError(f"pool.devices={devices}: expected auto, cpu, cuda:N, or a list of the last two")
    return list(dict.fromkeys(name if name == "cpu" or ":" in name else f"{name}:0" for name in names))
