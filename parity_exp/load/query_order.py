"""Which test sample each query is."""

import numpy as np


def query_indices(test_samples: int, count: int, random: np.random.Generator) -> np.ndarray:
    """The whole test split in random order, again and again, each time in another order.

    Args:
        test_samples: samples of the test split, 1 or more.
        count: queries, warm-up included.
        random: a stream of random numbers of its own.

    Returns:
        ``(count,)`` int64, numbers of test samples.
    """
    rounds = -(-count // test_samples)
    orders = [random.permutation(test_samples) for _ in range(rounds)]
    return np.concatenate(orders)[:count] if orders else np.zeros(0, dtype=np.int64)
