"""Random delays of single tasks, as rows of a trace that no policy can change.

A policy decides which instance begins which task when, so delays cannot be drawn per task without making the trace
depend on the policy. Instead, an instance's time is divided into short slots, and each slot is late or not, by a fixed
amount, drawn once: a task that begins in a late slot is late by that amount. Slots are shorter than a service time
(of 1 ms or more), so an instance does not begin two tasks in one slot, and its tasks are late independently of each
other, each with the slot's probability, as if drawn per task.
"""

import math

import numpy as np

SLOTS_PER_SERVICE = 4
SHORTEST_S = 1e-3

PIECE = 1_000_000
"""Slots drawn at a time."""


def slot_seconds(slot_ms: float | None, service_s: float) -> float:
    """How long a slot is.

    Args:
        slot_ms: what the user chose; None: a quarter of the service time, but at least 1 ms.
        service_s: the typical time that a query takes.
    """
    if slot_ms is None:
        return max(service_s / SLOTS_PER_SERVICE, SHORTEST_S)
    return slot_ms / 1000


def late_slots(random: np.random.Generator, duration_s: float, slot_s: float, probability: float) -> np.ndarray:
    """Numbers of the late slots of one instance, ascending; slot s is ``[s, s + 1) * slot_s``."""
    slots = math.ceil(duration_s / slot_s)
    # In pieces, as the numbers of a long trace's slots would not fit into memory; they are the same.
    late = [
        first + np.flatnonzero(random.random(min(PIECE, slots - first)) < probability)
        for first in range(0, slots, PIECE)
    ]
    return np.concatenate(late) if late else np.zeros(0, dtype=np.int64)
