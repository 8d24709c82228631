"""What the user may have meant: the known words nearest to a mistyped command, config key, choice or flag.

Hydra lists the choices of a group, but says nothing about keys that are nearly right.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

FLAGS = (
    "--cfg", "--config-dir", "--config-name", "--config-path", "--experimental-rerun", "--help", "--hydra-help",
    "--info", "--multirun", "--package", "--resolve", "--run", "--shell-completion", "--version",
)  # fmt: skip
"""Hydra's own flags."""

MOST, MOST_OF_A_NAME = 3, 5
"""Words that are told: of those that are near, and of keys that lack nothing but their section."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean a, b or c?`` of the known words near a word; nothing where none is near."""
    near = difflib.get_close_matches(word, list(known), n=MOST, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else ""


def for_flags(arguments: Iterable[str]) -> str:
    """What the first unknown flag of a command line may have meant."""
    words = (argument.partition("=")[0] for argument in arguments if argument.startswith("--"))
    unknown = next((word for word in words if not any(flag.startswith(word) for flag in FLAGS)), None)
    return did_you_mean(unknown, FLAGS) if unknown else ""


def for_choice(text: str, options: Sequence[str] | None, config_folder: Path) -> str:
    """What Hydra says about a choice of a group that there is not, in one line, with those that there are.

    Args:
        text: what Hydra says.
        options: the group's choices, where Hydra knows them.
        config_folder: where the primary config is.
    """
    first = text.strip().splitlines()[0]
    quoted = re.findall(r"'([^' ]+)/([^'/ ]+)'", first)
    if not quoted:
        return first
    group, choice = quoted[-1]
    # What Hydra lists may be of a group above this one.
    beside = sorted(path.stem for path in (config_folder / group).glob("*.yaml"))
    listed = options or []
    known = listed if listed and (f"in '{group}'" in text or not beside) else beside
    hint = did_you_mean(choice, known)
    return f"{group}/{choice}: no such choice; {hint}{' ' if hint else ''}{group} can be {', '.join(known)}"


def for_key(text: str, config_folder: Path, overrides: Sequence[str]) -> str | None:
    """What Hydra says about a key that there is not, in one line, with those that may have been meant.

    Args:
        text: what Hydra says.
        config_folder: where the primary config is.
        overrides: the command line's.

    Returns:
        None where it says something else, or has a suggestion of its own.
    """
    found = re.match(r"Could not override '([^']+)'", text)
    if not found or "Did you mean" in text:
        return None
    key = found[1]
    others = [word for word in overrides if word[0] != "-" and word.partition("=")[0].lstrip("+~") != key]
    keys = list(_keys_of_config(config_folder, others))
    # Who leaves out the section, as in max_epochs=5, has the last part right.
    same_name = sorted((known for known in keys if known.rpartition(".")[2] == key), key=len)[:MOST_OF_A_NAME]
    hint = f"did you mean {' or '.join(same_name)}?" if same_name else did_you_mean(key, keys)
    return f"{key}: no such key in the config; {hint}{' ' if hint else ''}`--cfg job` shows all, +{key}=... adds one"


def _keys_of_config(config_folder: Path, overrides: Sequence[str]) -> Iterator[str]:
    """Every key of the config that the overrides choose, or of the default one where they cannot be composed."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder.absolute()), version_base="1.3"):
        try:
            config = compose("config", overrides=list(overrides))
        except HydraException:
            config = compose("config")
    yield from _keys(config, "")


def _keys(config: DictConfig, prefix: str) -> Iterator[str]:
    for name, value in config.items_ex(resolve=False):
        yield f"{prefix}{name!s}"
        if isinstance(value, DictConfig) and not value._is_none():
            yield from _keys(value, f"{prefix}{name!s}.")
