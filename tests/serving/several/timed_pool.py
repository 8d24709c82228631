"""A pool without processes: instances are times at which answers are there, and can be killed."""

import time
from collections.abc import Callable, Sequence

from torch import Tensor

from parity_exp.disturbances.timeline import Timeline
from parity_exp.serving.pool import Down, Event, Finished, Pool, Raised, ServedModel, Stopped, Up

BACK_S = 0.03


class TimedPool(Pool):
    """Every task takes as long; one function is every model. A killed instance is back after :data:`BACK_S`.

    Args:
        model: what every model gives.
        task_ms: how long a task takes.
        prefetch: tasks that an instance may have.
        interrupts: instances can be told to stop.
        slow_ms: how much longer a task of a model takes, by the model's name and the task's number.
        at_30: is called when it gets its 30th task: frontends are at work then, and the run is not over.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        task_ms: float = 2.0,
        prefetch: int = 1,
        interrupts: bool = False,
        slow_ms: Callable[[str, int], float] = lambda _model, _task: 0.0,
        at_30: Callable[[], object] | None = None,
    ) -> None:
        self.model = model
        self.prefetch = prefetch
        self.interrupts = interrupts
        self.task_s = task_ms / 1e3
        self.slow_ms = slow_ms
        self.at_30 = at_30
        self.sent = 0
        self.task_timeout_s = 5.0
        self.most_at_once = self.kills = 0
        self.hands: list[list[tuple[float, float, int, Tensor | str]]] = []
        self.back_s: dict[int, float] = {}
        self.events: list[Event] = []

    def start(
        self,
        models: dict[str, ServedModel],
        held: Sequence[Sequence[str]],
        batch_size: int,
        timelines: Sequence[Timeline],
    ) -> None:
        self.hands = [[] for _ in held]
        self.back_s, self.events = {}, []

    def places(self) -> list[tuple[str, int | None]]:
        return [("cpu", None)] * len(self.hands)

    def begin(self, zero_s: float) -> None:
        pass

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        hand = self.hands[instance]
        if instance in self.back_s or len(hand) >= self.prefetch:
            return False
        self.sent += 1
        if self.sent == 30 and self.at_30 is not None:
            self.at_30()
        begin_s = max(time.monotonic(), hand[-1][1] if hand else 0.0)
        try:
            outputs: Tensor | str = self.model(queries.clone())
        except ValueError as error:
            outputs = str(error)
        hand.append((begin_s, begin_s + self.task_s + self.slow_ms(model, task) / 1e3, task, outputs))
        self.most_at_once = max(self.most_at_once, len(hand))
        return True

    def poll(self, timeout_s: float) -> list[Event]:
        until_s = time.monotonic() + timeout_s
        while True:
            now_s = time.monotonic()
            for instance, hand in enumerate(self.hands):
                while hand and hand[0][1] <= now_s:
                    begin_s, end_s, task, outputs = hand.pop(0)
                    if isinstance(outputs, str):
                        self.events.append(Raised(instance, task, outputs))
                    else:
                        self.events.append(Finished(instance, task, outputs, begin_s, end_s))
            for instance in [one for one, back_s in self.back_s.items() if back_s <= now_s]:
                del self.back_s[instance]
                self.events.append(Up(instance))
            if self.events or now_s >= until_s:
                events, self.events = self.events, []
                return events
            time.sleep(2e-4)

    def interrupt(self, instance: int, task: int) -> None:
        now_s = time.monotonic()
        hand = self.hands[instance]
        if hand and hand[0][2] == task:
            begin_s = hand.pop(0)[0]
            self.events.append(Stopped(instance, task, begin_s, now_s))

    def kill(self, instance: int) -> None:
        if instance not in self.back_s:
            self.kills += 1
            self.hands[instance].clear()
            self.back_s[instance] = time.monotonic() + BACK_S
            self.events.append(Down(instance, "killed on demand", on_demand=True))

    def close(self) -> None:
        pass
