"""A pool whose instances answer when a test lets them."""

import time

import torch
from torch import Tensor

from parity_exp.serving.pool import Event, Finished
from tests.endpoint.live import summed
from tests.serving.direct_pool import DirectPool


class SleepyPool(DirectPool):
    """Keeps tasks until ``asleep`` is False; what is asked afterwards is answered at once."""

    def __init__(self) -> None:
        super().__init__(summed)
        self.asleep = True
        self.kept: list[tuple[int, int, Tensor]] = []

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        self.kept.append((instance, task, queries.clone()))
        return True

    def poll(self, timeout_s: float) -> list[Event]:
        time.sleep(min(timeout_s, 0.001))
        if self.asleep:
            return []
        kept, self.kept = self.kept, []
        now_s = time.monotonic()
        return [Finished(instance, task, torch.as_tensor(summed(one)), now_s, now_s) for instance, task, one in kept]
