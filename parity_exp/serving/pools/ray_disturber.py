"""Carries out a straggler trace on a Ray cluster: kills from here, and processes on each node by an actor there."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from parity_exp.disturbances.helpers.helper import Helper
from parity_exp.disturbances.trace import Disturbance
from parity_exp.errors import UserError
from parity_exp.recordings.error_text import one_line
from parity_exp.serving.disturber import LOOK_S, START_S, Disturber
from parity_exp.serving.pools.ray_instance import RayHands, Whereabouts

CLOSE_S = 5.0


@dataclass(eq=False)
class _Hands:
    """The actor that runs the processes of a node.

    Attributes:
        told: how many of its failures are known here.
        report: what it has been asked to tell, until it does.
    """

    actor: Any
    told: int = 0
    report: Any = None


class RayDisturber(Disturber):
    """The hand that disturbs a run from outside, with one more on each node where instances have company.

    Processes stay where they have been started, also when their instance moves to another node.

    Args:
        rows: the trace.
        places: where each instance is; None: nowhere at the moment, and so nothing is beside it.
        kill: kills an instance.
        helpers: for each kind of row that takes a process, what the process does.
        seed: of what processes draw at random.

    Raises:
        SettingError: a kind of row that nobody knows.
    """

    def __init__(
        self,
        rows: Iterable[Disturbance],
        places: Sequence[Whereabouts | None],
        kill: Callable[[int], None],
        helpers: Mapping[str, Helper],
        seed: int,
    ) -> None:
        rows = list(rows)
        devices = [place.device if place else "nowhere" for place in places]
        super().__init__(rows, devices, [None] * len(places), kill, helpers, seed)
        self._company: dict[str, list[Disturbance]] = defaultdict(list)
        for row in rows:
            place = places[row.instance] if row.kind in helpers and row.instance < len(places) else None
            if place is not None:
                self._company[place.node].append(row)
        self._hands: list[_Hands] = []

    def start(self, timeout_s: float = START_S) -> None:
        kind: Any = ray.remote(RayHands)
        try:
            for node, rows in self._company.items():
                there = NodeAffinitySchedulingStrategy(node, soft=False)
                options = kind.options(num_cpus=0, scheduling_strategy=there)
                self._hands.append(_Hands(options.remote(rows, self._devices, dict(self._helpers), self._seed)))
            started = [hands.actor.start.remote() for hands in self._hands]
            for complaint in ray.get(started, timeout=timeout_s):
                if complaint is not None:
                    raise UserError(complaint)
        except BaseException as error:
            self.close()
            if isinstance(error, RayError):
                raise UserError(f"straggler: processes cannot start: {one_line(str(error))}") from None
            raise

    def begin(self, zero_s: float) -> None:
        super().begin(zero_s)
        for hands in self._hands:
            hands.actor.begin.remote(zero_s - time.monotonic())

    def tick(self, now_s: float) -> float:
        next_kill_s = super().tick(now_s)
        for hands in list(self._hands):
            self._hear(hands)
        return min(next_kill_s, now_s + LOOK_S) if self._hands else next_kill_s

    def close(self) -> None:
        hands, self._hands = self._hands, []
        if hands and ray.is_initialized():
            closed = [one.actor.close.remote() for one in hands]
            with suppress(RayError):
                ray.wait(closed, num_returns=len(closed), timeout=CLOSE_S)
            for one in hands:
                ray.kill(one.actor)

    def _hear(self, hands: _Hands) -> None:
        """Take note of what has failed since the last time, as far as it is known here; never waits."""
        if hands.report is not None:
            if not ray.wait([hands.report], timeout=0)[0]:
                return
            try:
                failures: list[str] = ray.get(hands.report)
            except RayError:
                self._hands.remove(hands)
                self._note("the processes beside instances of a node have ended with it; the run goes on without them")
                return
            for line in failures[hands.told :]:
                self._note(line)
            hands.told = len(failures)
        hands.report = hands.actor.failures.remote()
