"""Instances that come and go: taken away and given back by a trace, dead and started again."""

import time
from collections.abc import Sequence

import pytest
import tritonclient.http
from torch import Tensor

from parity_exp.disturbances import Resize
from parity_exp.serving.pool import Down, Finished, Up
from tests.endpoint.live import Live, live, metric, status, summed, until
from tests.endpoint.test_clients import client, queries, tensor
from tests.serving.direct_pool import DirectPool


class MortalPool(DirectPool):
    """Instances that can be killed, and are started again at once."""

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        """At once; but a capacity that is measured is not to come out as endless."""
        now_s = time.monotonic()
        self.events.append(Finished(instance, task, summed(queries.clone()), now_s - 0.001, now_s))
        return True

    def places(self) -> list[tuple[str, int | None]]:
        return [("cpu", None)] * 2

    def kill(self, instance: int) -> None:
        self.events += [Down(instance, "killed", on_demand=True), Up(instance)]


def states(endpoint: Live) -> list[str]:
    return [one["state"] for one in status(endpoint)["instances"]]


def ask(endpoint: Live) -> int:
    """Which instance answers."""
    answer = client(endpoint, tritonclient.http).infer("base", [tensor(tritonclient.http, queries())])
    return int(answer.get_response()["parameters"]["instance"])


@pytest.mark.parametrize("changes", [[[0, -1], [1.0, 1]], [[0.3, -1], [1.3, 1]]])
def test_an_instance_that_is_taken_away_has_not_died_and_gets_nothing_until_it_is_back(
    changes: Sequence[Sequence[float]],
) -> None:
    with live(MortalPool(summed), straggler=Resize(changes)) as made:
        ask(made)  # the trace begins
        seen: list[str] = []

        def away() -> bool:
            seen[:] = states(made)
            return "away" in seen

        until(away)
        there = seen.index("up")
        for _ in range(20):
            instance = ask(made)
            count = metric(made, 'parity_instances{model="base",state="away",version="1"}')
            if away():  # still, and so it was when it was asked
                assert instance == there and count == 1
        until(lambda: states(made) == ["up", "up"])
        until(lambda: ask(made) != there)
        assert [one["restarts"] for one in status(made)["instances"]] == [0, 0]
        assert metric(made, 'parity_instance_restarts_total{model="base",version="1"}') == 0
        assert metric(made, 'parity_instances{model="base",state="up",version="1"}') == 2


def test_the_trace_begins_with_the_first_query() -> None:
    with live(MortalPool(summed), straggler=Resize([[0.01, -1]])) as made:
        time.sleep(0.3)
        assert states(made) == ["up", "up"]
        ask(made)
        until(lambda: "away" in states(made))


def test_an_instance_that_dies_is_counted_when_it_is_back() -> None:
    pool = MortalPool(summed)
    with live(pool) as made:
        pool.kill(1)
        until(lambda: [one["restarts"] for one in status(made)["instances"]] == [0, 1])
        assert metric(made, 'parity_instance_restarts_total{model="base",version="1"}') == 1
        assert {ask(made) for _ in range(20)} <= {0, 1}
