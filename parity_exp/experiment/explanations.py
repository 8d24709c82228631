"""Errors of ours, of Hydra's and of the system's in one line that says what the user can do."""

import errno
import os
import re
import shlex
import sys
import tempfile
import traceback
from pathlib import Path

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from parity_exp.checks import SettingError
from parity_exp.errors import UserError
from parity_exp.experiment import library_errors, suggestions
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.hydra_record import HydraRecord
from parity_exp.experiment.keys import key_of

HYDRAS_FLAGS = ("Only one of --run", "The --resolve flag")
"""How Hydra's ValueErrors begin that are about its flags."""

OMEGACONF_NOTES = ("full_key:", "object_type=", "reference_type=")
"""How lines begin that say nothing to users."""

SHARED_MEMORY = (
    "/dev/shm",
    "unable to allocate shared memory",
    "unable to write to file </torch",
    "insufficient shared memory",
    "unable to open shared memory",
    "unable to resize file </torch",
)
"""What complaints of libraries about shared memory hold."""

SHORT_OF_SHARED_MEMORY = (
    "/dev/shm: no room for what processes share; make it larger, in containers by --shm-size=1g, or train in one "
    "process, trainer=cpu or trainer.devices=1"
)

LONG_SOCKET = "AF_UNIX path"
"""What every library's complaint about a socket's path holds."""


NO_CHOICE = re.compile(r"[^-.=][^.=]*=(null|true|false|[-+\d.]+(e[-+]?\d+)?|inf|nan|\{.*\})", re.IGNORECASE)
"""Overrides of a config group with what is no name of a choice."""


def explanation(error: BaseException) -> str | None:
    """The one line for an error that the user can mend; None for a defect of ours."""
    if isinstance(error, SettingError):
        return error.at(key_of)
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return suggestions.for_choice(str(error), error.options, config_folder())
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        nameless = [word for word in sys.argv[1:] if word.startswith("=")]
        if nameless:
            return _how_to_quote(nameless[0])
        words = " ".join(word for word in sys.argv[1:] if NO_CHOICE.fullmatch(word))
        return f"{words}: a config group takes the name of a choice, or a list of names; leave it out for the default"
    if isinstance(error, OverrideParseException):
        return _how_to_quote(error.override)
    if isinstance(error, ConfigCompositionException) and str(error).startswith("Ambiguous value"):
        return _how_to_quote(str(error).splitlines()[0].partition("'")[2].rstrip("'"))
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = error.__cause__
        unknown_key = suggestions.for_key(str(error), config_folder(), sys.argv[1:])
        if unknown_key is not None:
            return unknown_key
        reason = str(cause) if isinstance(cause, HydraException | OmegaConfBaseException) else ""
        lines = [line.strip() for text in (str(error), reason) for line in text.splitlines()]
        return " ".join(line for line in lines if line and not line.startswith(OMEGACONF_NOTES))
    if isinstance(error, ValueError) and str(error).startswith(HYDRAS_FLAGS):
        return str(error)
    if LONG_SOCKET in str(error):
        folder = tempfile.gettempdir()
        return f"TMPDIR={folder}: too long a path for the sockets of processes; set it to a short one, such as /tmp"
    if _is_about_shared_memory(error):
        return SHORT_OF_SHARED_MEMORY
    line = library_errors.explained(error)
    if line is not None:
        return line
    if isinstance(error, OSError):
        return _about_a_place(error)
    return None


def _is_about_shared_memory(error: BaseException) -> bool:
    """Whether processes lack what they share: some libraries say so, and others only where they stood."""
    if any(words in str(error) for words in SHARED_MEMORY):
        return True
    if not isinstance(error, OSError) or error.errno != errno.ENOSPC or error.filename is not None:
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return any("multiprocessing" in Path(frame.filename).parts for frame in frames[-2:])


def _about_a_place(error: OSError) -> str | None:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    place = None if error.filename is None else os.fsdecode(error.filename)
    if place is None and full:  # as when a file is closed that Hydra has written
        place = "the disk" if HydraRecord.before is None else str(HydraRecord.before.folder)
    if place is None:
        return None
    remedy = "free some space" if full else "make it a folder that can be written to"
    return f"{place}: {error.strerror}; {remedy}, or set outputs=FOLDER to another place"


def _how_to_quote(override: str) -> str:
    """What to write where a value holds characters that mean something in Hydra's grammar.

    Args:
        override: as it was given, without the shell's quotes.
    """
    key, is_one, value = override.partition("=")
    if not is_one or not key.strip():
        return f"{override}: expected key=value, such as k=3"
    plain = value.strip()
    if len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "'\"":
        plain = plain[1:-1]
    # Backslashes mean something only before a quote, and at the end, where ours comes.
    quoted = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ("\\" + found[2] if found[2] else ""), plain)
    word = shlex.quote(f'{key}="{quoted}"')
    remedy = f"to give it as it is, quote it for Hydra and for the shell: {word}"
    if "," in plain and plain[0] not in "[{":
        remedy += f"; for a list write {shlex.quote(f'{key}=[{plain}]')}, for a sweep add -m"
    return (
        f"{override}: a value with characters that have a meaning here, such as = , ( ) [ ] {{ }} or quotes; {remedy}"
    )
