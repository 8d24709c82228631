"""How much work a task is, where a load says how long each query takes by itself."""

import numpy as np

from parity_exp.policies.policy import Work


class Amounts:
    """How many times the mean a task takes, by its queries.

    A batch takes as long as its longest query, and so does a parity query: it is as large as any query of its group.

    Args:
        service_s: ``(queries,)``, how long each takes by itself.
        mean_s: mean time of a task, which the answers are multiples of.
    """

    def __init__(self, service_s: np.ndarray, mean_s: float) -> None:
        self._multiples: list[float] = (service_s / mean_s).tolist()

    def __call__(self, work: Work) -> float:
        batches = [work.batch] if work.batch is not None else [] if work.group is None else work.group.members
        return max((self._multiples[query] for batch in batches for query in batch.queries), default=1.0)
