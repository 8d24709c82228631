"""The load of a live endpoint: nobody knows when queries come, only for how long stragglers are to be drawn."""

import numpy as np

from parity_exp.load import Load

GENEROUS = 1.5
"""Scenarios draw stragglers for so much longer than a load is expected to last."""


class LiveLoad(Load):
    """Clients decide.

    Args:
        straggler_s: how long there are to be stragglers.
    """

    open_loop = False

    def __init__(self, straggler_s: float) -> None:
        super().__init__(1)
        self.straggler_s = straggler_s

    def rate(self, service_s: float, base_instances: int) -> float:
        """One query in that time."""
        return GENEROUS / self.straggler_s

    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        """None is known ahead."""
        return np.zeros(1)
