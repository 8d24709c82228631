"""How the parity queries of a group differ that show its queries side by side."""

from typing import Literal

Views = Literal["same", "mirrored", "shifted"]
"""``same``: not at all; ``mirrored`` and ``shifted``: as :class:`~parity_exp.coding.ConcatenationEncoder` says."""
