"""What a process does that disturbs an instance from beside it.

To write your own, subclass :class:`Helper` and :class:`Work`; a helper is made where the config is read, is sent to the
process, and makes its work there.
"""

from abc import ABC, abstractmethod


class Work(ABC):
    """Work of a process, done in small pieces so that it can be stopped between them."""

    def begin(self, now_s: float) -> None:
        """A time of work begins; ``now_s`` is ``time.monotonic()``."""
        return

    @abstractmethod
    def piece(self, now_s: float) -> float:
        """Do one piece of some milliseconds at most; return the ``time.monotonic()`` at which the next is due."""


class Helper(ABC):
    """Base class of what processes do; can be pickled, compares by value."""

    @abstractmethod
    def prepare(self, device: str, seed: int) -> Work:
        """Make what the work needs, on its device; called once, in the process.

        Args:
            device: ``cpu``, or a GPU such as ``cuda:0``.
            seed: of what the work draws at random.
        """
