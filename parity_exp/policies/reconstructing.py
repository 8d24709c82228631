"""What is reconstructed of a group that can be decoded: whatever has no answer yet, or only what is late."""

from typing import Literal

from parity_exp.policies.estimates.lateness import Lateness

Reconstruct = Literal["first", "late"]
"""``first``: clients get the first answer there is. ``late``: an own prediction, which is exact, has its usual time."""

RECONSTRUCT: Reconstruct = "first"
"""Unless a policy is told otherwise."""


def waits_for(reconstruct: Reconstruct, lateness: Lateness) -> Lateness | None:
    """What tells when a query may be reconstructed; None: at once.

    Raises:
        ValueError: neither ``first`` nor ``late``.
    """
    if reconstruct not in ("first", "late"):
        raise ValueError(f"reconstruct={reconstruct}: expected first or late")
    return lateness if reconstruct == "late" else None
