"""Signals of processes that tests start: as in a terminal, whatever the suite itself ignores."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heard_by_default() -> None:
    """For ``preexec_fn``: a shell that runs the suite in the background has it, and so its children, ignore Ctrl-C."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def heard_here() -> Iterator[None]:
    """Within the block this process hears them, too, as Python does by default."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard_by_default()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
