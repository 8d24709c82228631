"""One query every so often, as a camera sends them."""

import numpy as np

from parity_exp.load.load import OpenLoad


class Constant(OpenLoad):
    """Times between arrivals are all the same; the first arrival is at 0."""

    def arrivals(self, rate_qps: float, random: np.random.Generator) -> np.ndarray:
        return np.arange(self.total) / rate_qps
