"""Date-times as trace files have them, with up to nine digits behind the second."""

import re
from datetime import datetime

FORM = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,9})?\s?(Z|UTC|[+-]\d\d:?\d\d)?")


def seconds_of(text: str) -> tuple[int, float] | None:
    """Whole seconds since 1970 of a date-time, and the fraction of one; None where it is none.

    It is UTC where it says nothing else. The two are apart because a double of that size has no seven digits behind the
    point.
    """
    found = FORM.fullmatch(text)
    if found is None:
        return None
    date, clock, fraction, zone = found.groups()
    try:
        whole = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if zone in (None, 'Z', 'UTC') else zone}")
    except ValueError:
        return None
    return int(whole.timestamp()), float(fraction or 0)
