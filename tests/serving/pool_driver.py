"""What tests of pools share: ways to wait for events, and for the ends of processes."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from parity_exp.serving.pool import Event, Finished, Pool

PATIENCE_S = 60.0


def gather(pool: Pool, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """All events until there are enough of them."""
    events: list[Event] = []
    deadline_s = time.monotonic() + PATIENCE_S
    while not enough(events):
        assert time.monotonic() < deadline_s, f"not what was waited for: {events}"
        events += pool.poll(0.1)
    return events


def answer(pool: Pool, instance: int, model: str, queries: torch.Tensor) -> torch.Tensor:
    assert pool.send(instance, 0, model, queries)
    (event,) = gather(pool, bool)
    assert isinstance(event, Finished), event
    return event.outputs


def has(kind: type[Event], count: int = 1) -> Callable[[list[Event]], bool]:
    return lambda events: sum(isinstance(event, kind) for event in events) >= count


def send_soon(pool: Pool, instance: int, task: int, queries: torch.Tensor, model: str = "model") -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not pool.send(instance, task, model, queries):
        assert time.monotonic() < deadline_s
        pool.poll(0.05)


def gone(pid: int) -> bool:
    """True where a process has ended, also when nobody has asked for its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
