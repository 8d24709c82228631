"""Random choices of instances that clusters of neighbouring sizes share.

Each is uniform for a cluster of any size, and where a cluster grows, as much of what was chosen stays as can: what is
chosen changes only where one of the new instances is chosen in its place. So the first instances of a larger cluster
meet what those of a smaller one do. Random numbers are drawn in an order that does not depend on the size.
"""

import numpy as np
from numpy.typing import NDArray

Chosen = NDArray[np.int64]


def shuffled(instances: int, random: np.random.Generator) -> list[int]:
    """All instances in random order; without those that it does not have, a larger cluster has them in the same."""
    return np.argsort(random.random(instances), kind="stable").tolist()


def one_each(instances: int, times: int, random: np.random.Generator) -> Chosen:
    """``(times,)``: an instance, so many times anew.

    An instance i goes on to be chosen until the cluster has j of them with probability (i + 1) / j: the jumps of
    consistent hashing (Lamping and Veach, arXiv 1406.2294).
    """
    chosen, going_on = np.zeros(times, dtype=np.int64), np.ones(times, dtype=bool)
    while True:
        # Drawn for all, so that what is drawn for one does not depend on how far the others go.
        following = np.floor((chosen + 1) / (1.0 - random.random(times)))
        going_on &= following < instances
        if not going_on.any():
            return chosen
        chosen = np.where(going_on, following, chosen).astype(np.int64)


def two_each(instances: int, times: int, random: np.random.Generator) -> tuple[Chosen, Chosen]:
    """``(times,)`` twice: two different instances of two or more, so many times anew.

    Reservoir sampling with skips (Li, ACM TOMS 1994): while a cluster grows from i instances to j, a pair stays with
    probability i (i - 1) / (j (j - 1)); the instance with which it does not takes the place of one of the two.
    """
    one, other = np.zeros(times, dtype=np.int64), np.ones(times, dtype=np.int64)
    size = np.full(times, 2, dtype=np.int64)  # of the cluster for which the pair was chosen
    while True:
        stays, which = 1.0 - random.random(times), random.random(times)
        # The first size j with i (i - 1) / (j (j - 1)) below `stays`, at most one beyond the cluster's.
        largest = np.ceil((1 + np.sqrt(1 + 4 * size * (size - 1) / stays)) / 2)
        size = np.maximum(np.minimum(largest, instances + 1).astype(np.int64), size + 1)
        going_on = size <= instances
        if not going_on.any():
            return one, other
        one = np.where(going_on & (which < 0.5), size - 1, one)
        other = np.where(going_on & (which >= 0.5), size - 1, other)
