"""Reading a file with somebody's decoder, which fails on damaged bytes in whatever way they lead it to."""

from collections.abc import Callable
from typing import Any

from parity_exp.errors import DataError


def whole(read: Callable[[], Any], kind: str) -> Any:
    """What reading a file gives.

    Args:
        read: reads it.
        kind: what it should be, for messages: ``image``, ``WAV file``.

    Raises:
        DataError: it is damaged, or missing; the message goes on after its name.
    """
    try:
        return read()
    except FileNotFoundError:
        raise DataError("is missing") from None
    except PermissionError:
        raise DataError("may not be read") from None
    except (DataError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"is no {kind}, cut short or damaged ({reason})") from None
