"""What policies that hold answers until they are voted on have in common."""

WAIT_MS = 50
"""Unless a policy is told otherwise: how long an answer is held at most."""


def wait_s(wait_ms: float) -> float:
    """How long an answer is held, in seconds.

    Raises:
        ValueError: a negative time.
    """
    if wait_ms < 0:
        raise ValueError(f"wait_ms={wait_ms}: expected a time of 0 or more")
    return wait_ms / 1e3
