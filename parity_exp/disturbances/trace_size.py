"""How long a trace may be: it is held in memory, so what would not fit is refused before it is drawn."""

from parity_exp.checks import SettingError

MOST_ROWS = 10_000_000
"""About two gigabytes."""

MOST_SLOTS = 2_000_000_000
"""So many slots are looked at for late ones in some twenty seconds."""


def check_size(duration_s: float, rows: float, slots: float = 0.0) -> None:
    """Refuse a trace that would be too long.

    Args:
        duration_s: how long the trace is.
        rows: how many it would have, about.
        slots: how many slots of all instances would be drawn for it.

    Raises:
        SettingError: with what to do.
    """
    if rows <= MOST_ROWS and slots <= MOST_SLOTS:
        return
    size = (
        f"{rows:.3g} rows, at most {MOST_ROWS:,}" if rows > MOST_ROWS else f"{slots:.3g} slots, at most {MOST_SLOTS:,}"
    )
    raise SettingError(
        f"a trace of {duration_s:.3g} s would have some {size}; let queries arrive in less time (fewer, a "
        "higher rate, an arrival file without long gaps), choose fewer instances or disturbances, or straggler=none"
    )
