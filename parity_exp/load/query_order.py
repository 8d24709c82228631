"""Which test sample each query is."""

import numpy as np


def query_indices(test_samples: int, count: int, random: np.random.Generator, together: int = 1) -> np.ndarray:
    """The whole test split in random order, again and again, each time in another order.

    Args:
        test_samples: samples of the test split, 1 or more.
        count: queries, warm-up included.
        random: a stream of random numbers of its own.
        together: so many samples that follow each other are asked one after another; what is left over, never.

    Returns:
        ``(count,)`` int64, numbers of test samples.
    """
    requests = test_samples // together
    rounds = -(-count // (requests * together))
    orders = [random.permutation(requests) for _ in range(rounds)]
    if together > 1:
        orders = [(order[:, None] * together + np.arange(together)).ravel() for order in orders]
    return np.concatenate(orders)[:count] if orders else np.zeros(0, dtype=np.int64)
