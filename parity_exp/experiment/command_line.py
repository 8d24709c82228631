"""How the words of a command line are read: by Hydra's own parser, whatever stands before a key and around a value."""

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

LISTS = {"report": ("runs",)}
"""Keys of commands that take several values between commas, which elsewhere make a sweep."""

SWEEPS = ("-m", "--multirun")


def as_hydra_reads(command: str, words: Sequence[str]) -> list[str]:
    """The words with lists between commas in Hydra's brackets, where a command takes such; all else stays.

    Args:
        command: the command.
        words: those behind it.
    """
    keys = LISTS.get(command, ())
    if any(word in SWEEPS for word in words):
        return list(words)
    return [_listed(word) if _is_sweep(word, keys) else word for word in words]


def parsed(word: str) -> Override | None:
    """A word as Hydra reads it; None for flags, and for what it cannot read."""
    if word.startswith("-"):
        return None
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


def place_of(override: str) -> str:
    """Where in the config an override's value goes: ``group@place=choice`` or ``place=value``."""
    name = override.lstrip("+~").partition("=")[0].strip()
    return name.partition("@")[2] or name


def _is_sweep(word: str, keys: Sequence[str]) -> bool:
    if "," not in word:  # parsing takes time
        return False
    override = parsed(word)
    return override is not None and override.key_or_group in keys and override.is_sweep_override()


def _listed(word: str) -> str:
    key, _, value = word.partition("=")
    return f"{key}=[{value}]"
