"""What readers of published traces make of a file: when requests arrive, and how much work each is."""

from array import array
from collections.abc import Iterable

import numpy as np

from parity_exp.errors import UserError
from parity_exp.load.load import MOST_QUERIES


class Requests:
    """The requests of a file, in the order of their arrivals.

    Args:
        path: the file, for messages.
        rows: ``(arrival in seconds, service time in seconds)`` of each, in any order.

    Attributes:
        arrivals_s: ``(n,)`` float64, ascending, the first at 0.
        service_s: ``(n,)`` float64, as the rows have them.

    Raises:
        UserError: there are none, or too many.
    """

    def __init__(self, path: object, rows: Iterable[tuple[float, float]]) -> None:
        arrivals_s, service_s = array("d"), array("d")
        for arrival_s, takes_s in rows:
            if len(arrivals_s) == MOST_QUERIES:
                raise UserError(f"{path}: expected at most {MOST_QUERIES:,} requests; give a part of the file")
            arrivals_s.append(arrival_s)
            service_s.append(takes_s)
        if not arrivals_s:
            raise UserError(f"{path}: it has no requests")
        times_s = np.array(arrivals_s)
        order = np.argsort(times_s, kind="stable")
        self.arrivals_s = times_s[order] - times_s[order[0]]
        self.service_s = np.array(service_s)[order]
