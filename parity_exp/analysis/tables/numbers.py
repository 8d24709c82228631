"""Numbers as people read them."""


def number(value: float) -> str:
    """Three digits, and all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def percent(share: float) -> str:
    """Two digits or more, so that one in ten thousand does not become nothing."""
    if share == 0:
        return "0 %"
    return f"{100 * share:.2g} %" if share < 0.01 else f"{100 * share:.1f} %"
