"""What monitoring and people want to know of a model that is being served: Prometheus metrics, and the last minute.

Names follow what users of Triton know (``..._inference_request_success``, ``..._inference_pending_request_count``),
with the units and endings of Prometheus and OpenTelemetry: seconds, and ``_total`` for what only grows.
"""

import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from parity_exp.endpoint.protocol.refused import BROKEN, GONE, Why
from parity_exp.policies.policy import SOURCES, AnswerSource
from parity_exp.recordings.costs import Given
from parity_exp.recordings.measures import percentiles

BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75,
    1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
CODING_S = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.1)

LATEST, LATEST_S = 20_000, 60.0
"""Of the answers of the last minute so many at most make the percentiles that people see."""


STATES = ("up", "resting", "down", "away")
"""Of instances. Who rests is not to be asked for a while, who is down has died, who is away was taken away."""

AWAY = "taken away by the straggler trace"


class Metrics:
    """The metrics of a server, by model, version and policy."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of_model = ("model", "version")
        more: dict[str, Any] = {"registry": self.registry}
        self.success = Counter("parity_inference_request_success", "Requests answered", of_model, **more)
        self.failure = Counter(
            "parity_inference_request_failure", "Requests refused or failed, by reason", ("reason",), **more
        )
        for reason in (*(why.reason for why in Why), GONE, BROKEN):
            self.failure.labels(reason)
        self.request_bytes = Gauge(
            "parity_inference_request_bytes", "Bytes of requests that are being read or answered", **more
        )
        self.request_s = Histogram(
            "parity_inference_request_duration_seconds",
            "From a request's arrival to its answer",
            (*of_model, "protocol"),
            buckets=BUCKETS_S,
            **more,
        )
        self.answers = Counter(
            "parity_inference_answers", "Queries answered, by source", (*of_model, "policy", "source"), **more
        )
        self.answer_s = Histogram(
            "parity_inference_answer_duration_seconds",
            "From a query's arrival to its answer, by where it came from",
            (*of_model, "policy", "source"),
            buckets=BUCKETS_S,
            **more,
        )
        self.pending = Gauge("parity_inference_pending_request_count", "Queries without an answer", of_model, **more)
        self.queued = Gauge(
            "parity_queue_tasks",
            "Tasks that wait for whichever instance of a role is free",
            (*of_model, "role"),
            **more,
        )
        self.instance_queued = Gauge(
            "parity_instance_pending_tasks",
            "Tasks that wait for an instance and no other, or are in its hands",
            (*of_model, "instance"),
            **more,
        )
        self.instances = Gauge(
            "parity_instances", "Instances, by state: up, resting, down, away", (*of_model, "state"), **more
        )
        self.restarts = Counter("parity_instance_restarts", "Instances that came back", of_model, **more)
        self.given = Counter("parity_instance_queries", "Queries given to instances", (*of_model, "kind"), **more)
        self.parity = Counter("parity_parity_queries", "Parity queries given to instances", of_model, **more)
        self.encode_s = Histogram(
            "parity_encode_duration_seconds", "Encoding of a parity query", of_model, buckets=CODING_S, **more
        )
        self.decode_s = Histogram(
            "parity_decode_duration_seconds", "Decoding of a prediction", of_model, buckets=CODING_S, **more
        )
        self.flagged = Counter(
            "parity_wrong_answers_flagged", "Answers a policy found that may be wrong", of_model, **more
        )

    def collect(self) -> Iterator[Metric]:
        """All of them, as encoders ask for them; without the times at which the library has made each."""
        for metric in self.registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class Watch:
    """What is known of one model.

    Args:
        metrics: of the server.
        model: its name.
        version: its version.
        policy: name of the policy.
        instances: how many there are.
        models: for each instance what it holds.
        roles: kinds of instances, each with its queue or queues.
    """

    def __init__(
        self,
        metrics: Metrics,
        model: str,
        version: str,
        policy: str,
        instances: int,
        models: Sequence[Sequence[str]],
        roles: Sequence[str] = (),
    ) -> None:
        self.model, self.version, self.policy = model, version, policy
        self._metrics = metrics
        at = (model, version)
        self._success = metrics.success.labels(*at)
        self._request_s = {one: metrics.request_s.labels(*at, one) for one in ("http", "grpc")}
        self._answers = [metrics.answers.labels(*at, policy, source) for source in SOURCES]
        self._answer_s = [metrics.answer_s.labels(*at, policy, source) for source in SOURCES]
        self._pending = metrics.pending.labels(*at)
        self._queued = {role: metrics.queued.labels(*at, role) for role in roles}
        self._instance_queued = [metrics.instance_queued.labels(*at, str(number)) for number in range(instances)]
        self._states = {state: metrics.instances.labels(*at, state) for state in STATES}
        self._restarts = metrics.restarts.labels(*at)
        self._given = {kind: metrics.given.labels(*at, kind) for kind in ("first", "parity", "repeated")}
        self._parity = metrics.parity.labels(*at)
        self._encode_s, self._decode_s = metrics.encode_s.labels(*at), metrics.decode_s.labels(*at)
        self._flagged = metrics.flagged.labels(*at)
        self._models = [list(names) for names in models]
        self._state = ["up"] * instances
        self._reasons = [""] * instances
        self._restarted = [0] * instances
        self._resting: set[int] = set()
        self._told: Counts[str] = Counts()
        self._latest: deque[tuple[float, float, int]] = deque(maxlen=LATEST)
        self._totals = [0] * len(SOURCES)
        self._unanswered = 0
        self._pending_tasks = [0] * instances
        self.injected: Sequence[tuple[float, float, int, str]] = ()
        self.began_s = time.monotonic()
        self._traced_s = inf
        self._count_states()

    @property
    def any_up(self) -> bool:
        """Whether an instance is there."""
        return "up" in self._state

    def requested(self, protocol: str, duration_s: float) -> None:
        """A request has been answered."""
        self._success.inc()
        self._request_s[protocol].observe(duration_s)

    def answered(self, source: AnswerSource, latency_s: float) -> None:
        """A query has its answer."""
        self._answers[source].inc()
        self._answer_s[source].observe(latency_s)
        self._totals[source] += 1
        self._latest.append((time.monotonic(), latency_s, source))

    def down(self, instance: int, reason: str) -> None:
        """An instance is gone."""
        self._state[instance], self._reasons[instance] = "down", reason
        self._count_states()

    def away(self, instance: int) -> None:
        """An instance has been taken away, or was not there to begin with."""
        self._state[instance], self._reasons[instance] = "away", AWAY
        self._count_states()

    def back(self, instance: int) -> None:
        """An instance is there which was away."""
        self._state[instance], self._reasons[instance] = "up", ""
        self._count_states()

    def up(self, instance: int) -> None:
        """An instance is there again; one that was away has not been restarted."""
        if self._state[instance] == "away":
            self.back(instance)
            return
        self._state[instance], self._reasons[instance] = "up", ""
        self._restarted[instance] += 1
        self._restarts.inc()
        self._count_states()

    def resting(self, instances: set[int]) -> None:
        """These rest at the moment."""
        if instances != self._resting:
            self._resting = instances
            self._count_states()

    def queues(self, pending: Sequence[int], waiting: Mapping[str, int]) -> None:
        """So long are queues: of each instance, and of each role."""
        for gauge, count in zip(self._instance_queued, pending, strict=True):
            gauge.set(count)
        for role, count in waiting.items():
            self._queued[role].set(count)
        self._pending_tasks = list(pending)

    def counts(self, given: Given, unanswered: int, flagged: int) -> None:
        """What is counted elsewhere has come to this."""
        self._unanswered = unanswered
        self._pending.set(unanswered)
        for kind, value in (("first", given.first), ("parity", given.parity), ("repeated", given.repeated)):
            self._given[kind].inc(self._more(kind, value))
        self._parity.inc(self._more("parity queries", given.parity))
        self._flagged.inc(self._more("flagged", flagged))

    def coded(self, encode_s: Sequence[float], decode_s: Sequence[float]) -> None:
        """So long took what has been encoded and decoded since the last call."""
        for histogram, times in ((self._encode_s, encode_s), (self._decode_s, decode_s)):
            for one in times:
                histogram.observe(one)

    def status(self) -> dict[str, Any]:
        """The last minute, for people."""
        now_s = time.monotonic()
        latest = [(latency_s, source) for at_s, latency_s, source in self._latest if now_s - at_s <= LATEST_S]
        latencies = np.array([latency_s * 1e3 for latency_s, _ in latest])
        counts = Counts(SOURCES[source] for _, source in latest)
        return {
            "model": self.model,
            "version": self.version,
            "policy": self.policy,
            "seconds": now_s - self.began_s,
            "unanswered": self._unanswered,
            "answers": sum(self._totals),
            "totals": dict(zip(SOURCES, self._totals, strict=True)),
            "last_minute": {
                "answers": len(latest),
                "sources": {source: counts.get(source, 0) for source in SOURCES},
                "latency_ms": percentiles(latencies) if len(latencies) else {},
            },
            "instances": [
                {
                    "instance": number,
                    "models": self._models[number],
                    "state": "resting" if state == "up" and number in self._resting else state,
                    "tasks": self._pending_tasks[number],
                    "restarts": self._restarted[number],
                    "reason": self._reasons[number],
                }
                for number, state in enumerate(self._state)
            ],
            "stragglers": self._injected(now_s - self._traced_s),
        }

    def trace_begins(self, at_s: float) -> None:
        """When that was, in ``time.monotonic()``."""
        self._traced_s = at_s

    def _injected(self, now_s: float) -> list[dict[str, Any]]:
        """What is injected now."""
        return [
            {"instance": instance, "kind": kind, "since_s": now_s - start_s}
            for start_s, end_s, instance, kind in self.injected
            if start_s <= now_s < end_s
        ]

    def _more(self, name: str, value: int) -> int:
        """How much more something is than when it was asked for last."""
        more = value - self._told[name]
        self._told[name] = value
        return more

    def _count_states(self) -> None:
        counts = Counts(self._state)
        counts["resting"] = sum(self._state[instance] == "up" for instance in self._resting)
        counts["up"] -= counts["resting"]
        for state, gauge in self._states.items():
            gauge.set(counts[state])
