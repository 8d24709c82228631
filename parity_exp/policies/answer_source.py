"""What a query's answer came from."""

from enum import IntEnum


class AnswerSource(IntEnum):
    """What answered a query."""

    OWN = 0
    RECONSTRUCTED = 1
    BACKUP = 2
    DEFAULT = 3
    ERROR = 4


SOURCES = tuple(source.name.lower() for source in AnswerSource)
"""Names of the sources, as files have them, in the order of :class:`AnswerSource`."""
