"""A pool without processes: models run where tasks are sent to, at once, and the answers come with the next poll."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from parity_exp.disturbances.timeline import Timeline
from parity_exp.serving.pool import Event, Finished, Pool, Raised, ServedModel

Model = Callable[[Tensor], Tensor]


class DirectPool(Pool):
    """Runs one function as every model; what it raises comes back as ``Raised``."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.events: list[Event] = []

    def start(
        self,
        models: dict[str, ServedModel],
        held: Sequence[Sequence[str]],
        batch_size: int,
        timelines: Sequence[Timeline],
    ) -> None:
        pass

    def places(self) -> list[tuple[str, int | None]]:
        return []

    def begin(self, zero_s: float) -> None:
        pass

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        now_s = time.monotonic()
        try:
            outputs = self.model(queries.clone())
        except Exception as error:
            self.events.append(Raised(instance, task, f"{type(error).__name__}: {error}"))
        else:
            self.events.append(Finished(instance, task, torch.as_tensor(outputs), now_s, now_s))
        return True

    def poll(self, timeout_s: float) -> list[Event]:
        if not self.events:
            time.sleep(min(timeout_s, 0.001))
        events, self.events = self.events[:1], self.events[1:]
        return events

    def kill(self, instance: int) -> None:
        pass

    def close(self) -> None:
        pass
