"""``/metrics`` as Prometheus reads it, and as the guide lists it."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from parity_exp.endpoint.protocol.refused import BROKEN, GONE, Why
from parity_exp.endpoint.watch import STATES
from parity_exp.policies import NoRedundancy
from parity_exp.policies.policy import SOURCES
from parity_exp.policies.queues import RoundRobin
from tests.endpoint.live import Live, get, live, until
from tests.endpoint.sleepy_pool import SleepyPool
from tests.endpoint.test_limits import ONE, ask_grpc, post, waiting_clients

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "endpoint.md"

PARSERS: dict[str, Callable[[str], Iterable[Metric]]] = {
    "text/plain;version=0.0.4": parse_text,
    "application/openmetrics-text;version=1.0.0": parse_openmetrics,
}


def families(endpoint: Live, accept: str = "text/plain;version=0.0.4") -> dict[str, Metric]:
    """Metrics by their names, as a parser of that format reads them."""
    asked = urllib.request.Request(f"http://{endpoint.http}/metrics", headers={"accept": accept})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.headers["content-type"].startswith(accept.partition(";")[0])
        return {one.name: one for one in PARSERS[accept](answer.read().decode())}


def values(family: Metric, **labels: str) -> dict[tuple[str, ...], float]:
    """Samples that have some labels, by the values of their other ones."""
    return {
        tuple(value for name, value in one.labels.items() if name not in labels): one.value
        for one in family.samples
        if labels.items() <= one.labels.items() and not one.name.endswith("_created")
    }


def listed() -> dict[str, tuple[str, str]]:
    """What the guide says that there is: by name the kind, and the labels."""
    rows = re.findall(r"^\| `(parity_\w+)` \| (\w+) \|([^|]*)\|", GUIDE.read_text(), re.MULTILINE)
    return {name: (kind, labels) for name, kind, labels in rows}


@pytest.mark.parametrize("accept", list(PARSERS))
def test_the_guide_lists_what_is_exported_with_kinds_and_labels(accept: str) -> None:
    with live() as made:
        post(made, json.dumps(ONE).encode())
        ask_grpc(made)
        found = {}
        for family in families(made, accept).values():
            if not family.name.startswith("parity_"):
                continue
            labels = {name for one in family.samples for name in one.labels} - {"le"}
            name = family.name + ("_total" if family.type == "counter" else "")
            found[name.replace("_total_total", "_total")] = (family.type, labels)
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, (kind, labels) in listed().items()}
    assert told == found


def test_names_say_units_and_help_says_what_is_meant() -> None:
    with live() as made:
        for family in families(made).values():
            assert family.documentation
            if family.type == "histogram":
                assert family.name.endswith("_seconds")
            if family.type == "gauge":
                assert re.search(r"_(bytes|count|tasks|instances)$", family.name), "a number of what?"


def test_everything_is_there_from_the_beginning_and_adds_up_after_requests() -> None:
    with live() as made:
        before = families(made)
        assert set(values(before["parity_inference_answers"], model="base", version="1", policy="none")) == {
            (source,) for source in SOURCES
        }
        reasons = {(reason,) for reason in (*(why.reason for why in Why), GONE, BROKEN)}
        assert values(before["parity_inference_request_failure"]) == dict.fromkeys(reasons, 0.0)
        for _ in range(3):
            post(made, json.dumps(ONE).encode())
        ask_grpc(made)
        post(made, b"no JSON")
        until(lambda: sum(values(families(made)["parity_instance_queries"], kind="first").values()) == 4)
        after = families(made)
    at = {"model": "base", "version": "1"}
    assert values(after["parity_inference_request_success"], **at) == {(): 4}
    assert values(after["parity_inference_answers"], **at, policy="none")["own",] == 4
    assert values(after["parity_inference_request_failure"])["malformed",] == 1
    durations = {
        one.labels["protocol"]: one.value
        for one in after["parity_inference_request_duration_seconds"].samples
        if one.name.endswith("_count")
    }
    assert durations == {"http": 3, "grpc": 1}
    assert values(after["parity_instances"], **at) == {(state,): 2.0 * (state == "up") for state in STATES}


@pytest.mark.parametrize("queue", [None, RoundRobin])
@pytest.mark.one_of_many
def test_the_length_of_each_instances_queue_is_told(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity_exp.endpoint.live_frontend.LOOK_S", 0.02)
    pool = SleepyPool()
    more = {} if queue is None else {"queue": queue}
    with live(pool, policy=NoRedundancy, **more) as made:
        threads, _ = waiting_clients(made, 7)
        at = {"model": "base", "version": "1"}

        def of_instances() -> list[float]:
            return list(values(families(made)["parity_instance_pending_tasks"], **at).values())

        def of_role() -> list[float]:
            return list(values(families(made)["parity_queue_tasks"], **at).values())

        until(lambda: sum(of_instances()) + sum(of_role()) == 7)
        if queue is None:
            assert (of_instances(), of_role()) == ([1, 1], [5])
        else:
            assert (sorted(of_instances()), of_role()) == ([3, 4], [0])
        assert sum(one["tasks"] for one in json.loads(get(made, "/status"))["models"][0]["instances"]) == sum(
            of_instances()
        )
        pool.asleep = False
        for thread in threads:
            thread.join()
        until(lambda: sum(of_instances()) + sum(of_role()) == 0)
