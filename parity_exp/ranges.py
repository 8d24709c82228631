"""Types of settings with their ranges, for the annotations of classes that a config makes.

A class says once, in its constructor's annotations, which values it takes: ``width: Width``, ``delay_ms: Delay |
None``, ``signs: Literal["own", "alternating"]``. The config's schema reads them there. Ranges end somewhere above all
that makes sense, so that a slip of the finger is refused and not computed for days.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt, MinLen

MOST_INSTANCES = 20_000
"""Of a simulated cluster, base instances."""

Whole = Annotated[int, Ge(0), Le(10**9)]
Count = Annotated[int, Ge(1), Le(10**9)]
Queries = Annotated[int, Ge(1), Le(10**8)]
AnyQueries = Annotated[int, Ge(0), Le(10**8)]
Epochs = Annotated[int, Ge(1), Le(10**6)]
EpochsOrNone = Annotated[int, Ge(0), Le(10**6)]
"""Epochs of a model that may be used as it comes."""
BatchSize = Annotated[int, Ge(1), Le(10**6)]
Width = Annotated[int, Ge(1), Le(2**16)]
"""Units or channels of a layer."""
Side = Annotated[int, Ge(1), Le(4096)]
"""Pixels of an image's side."""
Few = Annotated[int, Ge(1), Le(1000)]
SomeOrNone = Annotated[int, Ge(0), Le(1000)]
Instance = Annotated[int, Ge(0), Le(10**6)]
"""Number of an instance in its cluster, or how many."""
Frontends = Annotated[int, Ge(1), Le(100)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]

Positive = Annotated[float, Gt(0), Le(1e9)]
NotNegative = Annotated[float, Ge(0), Le(1e9)]
Delay = NotNegative
"""A time, in whatever unit the setting's name ends with."""
Share = Annotated[float, Ge(0), Le(1)]
PositiveShare = Annotated[float, Gt(0), Le(1)]
ProperShare = Annotated[float, Gt(0), Lt(1)]
Loads = Annotated[float, Ge(0), Le(10)]
"""A share of the instances; more than all of them is meant as always."""
Factor = Annotated[float, Gt(0), Le(10**6)]
Margin = Annotated[float, Ge(1), Le(1000)]
Rate = Annotated[float, Gt(0), Le(1e9)]
"""Events in a second."""
Period = Annotated[float, Ge(1e-3), Le(1e7)]
"""Seconds between what comes again and again."""
Timeout = Annotated[float, Ge(1e-3), Le(1e6)]
Prefetch = Annotated[int, Ge(1), Le(10**6)]
ServiceTime = Annotated[float, Ge(0), Le(1e7)]
"""Milliseconds; hours are a long task, and days a mistake."""
Percentile = Annotated[float, Gt(0), Lt(100)]

Text = Annotated[str, MinLen(1)]


@dataclass(frozen=True)
class Matches:
    """A text that a regular expression fits as a whole.

    Attributes:
        pattern: the regular expression.
        words: what such a text is, for messages.
    """

    pattern: str
    words: str
