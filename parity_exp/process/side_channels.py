"""What is done beside a job's own work: tracking, figures, pages, the terminal. Where it fails there is a warning."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from parity_exp.process import interrupts

log = logging.getLogger(__name__)


@contextmanager
def beside(what: str) -> Iterator[None]:
    """Go on after the block whatever fails in it, with one warning.

    Args:
        what: is made in the block, for the warning.
    """
    try:
        yield
    except Exception as error:
        interrupts.check()
        log.warning("%s: %s; the job goes on without", what, in_a_line(error))
        log.debug("in full", exc_info=error)


def in_a_line(error: BaseException) -> str:
    """What an exception says, in its first line; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
