"""Recordings of a small queueing model, as a serving run would leave them, for tests of tables, figures and reports.

Six instances that take about 20 ms a query; now and then one is slowed down for a while. ``equal_resources`` has the
base model on all of them, ``parity`` on four and a parity model on two.
"""

import heapq
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from parity_exp.policies.policy import AnswerSource
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.recorder import Recorder

CLASSES, BASE_ACCURACY, DEGRADED_ACCURACY = 10, 0.96, 0.8
SERVICE_S, SLO_MS = 0.02, 400.0


@dataclass
class Done:
    """A task's way through an instance."""

    instance: int
    started_s: float
    finished_s: float


def slowdowns(seconds: float, instances: int, rng: np.random.Generator) -> pd.DataFrame:
    """Half a slowdown a second, each of about half a second, and one kill."""
    count = max(1, int(seconds / 2))
    start_s = np.sort(rng.uniform(0, seconds, count))
    table = pd.DataFrame(
        {
            "kind": "slow",
            "instance": rng.integers(0, instances, count),
            "start_s": start_s,
            "end_s": start_s + rng.exponential(0.5, count),
            "factor": 1.0,
            "extra_ms": rng.exponential(120, count),
        }
    )
    table.loc[count // 2, ["kind", "end_s", "extra_ms"]] = ["kill", start_s[count // 2], 0.0]
    return table


def first_free(
    arrivals_s: np.ndarray, instances: range, delay_s: Callable[[int, float], float], rng: np.random.Generator
) -> list[Done]:
    """One queue from which instances take the next task when they are free."""
    free = [(0.0, instance) for instance in instances]
    done = []
    for arrival_s in arrivals_s:
        free_s, instance = heapq.heappop(free)
        started_s = max(arrival_s, free_s)
        finished_s = started_s + SERVICE_S * (1 + 0.05 * rng.exponential()) + delay_s(instance, started_s)
        heapq.heappush(free, (finished_s, instance))
        done.append(Done(instance, started_s, finished_s))
    return done


class Recordings:
    """The recorders of both policies, and what they were given."""

    def __init__(self, queries: int = 2000, rate_qps: float = 90.0, warmup: int = 50, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        total = queries + warmup
        self.arrivals_s = np.cumsum(rng.exponential(1 / rate_qps, total))
        self.trace = slowdowns(float(self.arrivals_s[-1]), 6, rng)
        self.labels = rng.integers(0, CLASSES, total)
        self.own = np.where(rng.random(total) < BASE_ACCURACY, self.labels, (self.labels + 1) % CLASSES)
        self.rebuilt = np.where(rng.random(total) < DEGRADED_ACCURACY, self.labels, (self.labels + 1) % CLASSES)
        lasting = self.trace[self.trace["end_s"] > self.trace["start_s"]]
        bands = lasting[["instance", "start_s", "end_s", "extra_ms"]].to_numpy()

        def delay_s(instance: int, at_s: float) -> float:
            here = bands[(bands[:, 0] == instance) & (bands[:, 1] <= at_s) & (at_s < bands[:, 2])]
            return float(here[:, 3].sum()) / 1000

        self.recorders = {name: Recorder(queries, warmup, default=0) for name in ("equal_resources", "parity")}
        self._equal_resources(first_free(self.arrivals_s, range(6), delay_s, rng))
        filled_s = self.arrivals_s[1::2]
        parities = first_free(filled_s, range(4, 6), delay_s, rng)
        self._parity(first_free(self.arrivals_s, range(4), delay_s, rng), parities)

    def _equal_resources(self, base: list[Done]) -> None:
        recorder = self.recorders["equal_resources"]
        for query, own in enumerate(base):
            self._sent(recorder, query)
            recorder.task(
                query, "base", own.instance, own.started_s, own.started_s, own.finished_s, "done", query, query // 2
            )
            self._answer(recorder, query, own.finished_s, AnswerSource.OWN, own.instance, -1, int(self.own[query]))

    def _parity(self, base: list[Done], parities: list[Done]) -> None:
        recorder = self.recorders["parity"]
        for query, own in enumerate(base):
            group = query // 2
            self._sent(recorder, query)
            recorder.task(query, "base", own.instance, own.started_s, own.started_s, own.finished_s, "done", query)
            decoded_s, by = np.inf, -1
            if group < len(parities):
                partner = base[query ^ 1]
                decoded_s, by = max(parities[group].finished_s, partner.finished_s), parities[group].instance
            if own.finished_s <= decoded_s:
                self._answer(
                    recorder, query, own.finished_s, AnswerSource.OWN, own.instance, group, int(self.own[query])
                )
            else:
                self._answer(
                    recorder, query, decoded_s, AnswerSource.RECONSTRUCTED, by, group, int(self.rebuilt[query])
                )
        for group, done in enumerate(parities):
            task = len(base) + group
            recorder.task(
                task, "parity-0", done.instance, done.started_s, done.started_s, done.finished_s, "done", -1, group
            )

    def _sent(self, recorder: Recorder, query: int) -> None:
        due_s = float(self.arrivals_s[query])
        recorder.sent(query, due_s, due_s + 0.0001, int(self.labels[query]))

    def _answer(
        self,
        recorder: Recorder,
        query: int,
        at_s: float,
        source: AnswerSource,
        instance: int,
        group: int,
        predicted: int,
    ) -> None:
        deadline_s = float(self.arrivals_s[query]) + SLO_MS / 1000
        if at_s > deadline_s:
            recorder.answered(query, deadline_s, AnswerSource.DEFAULT, -1, group, 0)
        else:
            recorder.answered(query, at_s, source, instance, group, predicted)

    @property
    def queries(self) -> dict[str, pd.DataFrame]:
        return {name: recorder.queries() for name, recorder in self.recorders.items()}

    @property
    def tasks(self) -> dict[str, pd.DataFrame]:
        return {name: recorder.tasks() for name, recorder in self.recorders.items()}

    @property
    def metrics(self) -> dict[str, float]:
        """What ``metrics.json`` would hold."""
        values: dict[str, float] = {}
        for name, recorder in self.recorders.items():
            own = serving_metrics(recorder.queries(), recorder.lost, recorder.duplicates)
            own |= {"instances": 6, "extra_instances": 2, "encode_us": 4.5, "decode_us": 8.25, "frontend_us": 61.0}
            own |= {"tasks_per_query": 1.5, "extra_queries": 1025.0, "parity_queries": 1025.0}
            values |= {f"serve/{name}/{key}": value for key, value in own.items()}
        return values

    def save(self, folder: Path) -> None:
        """Leave in a folder what a serving run leaves there, but for config, environment and figures."""
        for name, recorder in self.recorders.items():
            recorder.save(folder, name)
        self.trace.to_csv(folder / "straggler-trace.csv", index=False)
        pd.DataFrame({"scheduled_s": self.arrivals_s}).to_csv(folder / "arrivals.csv", index=False)
        (folder / "metrics.json").write_text(json.dumps(self.metrics))
