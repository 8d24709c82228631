"""Independent clients, many of them: a Poisson process."""

import numpy as np

from parity_exp.load.load import OpenLoad


class Poisson(OpenLoad):
    """Times between arrivals are independent and exponential."""

    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        return np.cumsum(random.exponential(1 / rate_qps, self.total))
