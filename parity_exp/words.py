"""Numbers of things as people write them."""

QUERY = ("query", "queries")
POLICY = ("policy", "policies")


def counted(count: float, one: str, several: str = "") -> str:
    """``1 run``, ``2 runs``, ``1,000 queries``.

    Args:
        count: how many, a whole number.
        one: what a single one is called.
        several: what others are called; nothing: the same with an s.
    """
    return f"{count:,.0f} {one if count == 1 else several or f'{one}s'}"
