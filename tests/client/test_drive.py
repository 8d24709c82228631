"""A load against servers: somebody else's and our own, with answers, without, and with none any more."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from parity_exp import drive
from parity_exp.checks import SettingError
from parity_exp.client.options import Options
from parity_exp.endpoint.asked import Asked
from parity_exp.errors import UserError
from parity_exp.load import ClosedLoop, Load, Poisson, Steps, TraceLoad
from parity_exp.scenario.result import ServingResult
from tests.client.other_server import SHAPE, other_server
from tests.endpoint.live import live
from tests.endpoint.sleepy_pool import SleepyPool

FAST = Poisson(60, 10, rate_qps=500.0)


def queries(count: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries, and the labels that a server which sums them up gives them."""
    made = torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(0))
    return made, (made.flatten(1).sum(1) < 0).long()


def driven(url: str, *data: torch.Tensor, load: Load = FAST, **given: Any) -> ServingResult:
    return drive(url, *data, load=load, show_progress=False, **given)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.one_of_many
def test_a_server_that_others_wrote_is_measured_with_its_accuracy(binary: bool, tmp_path: Path) -> None:
    with other_server() as other:
        other.binary = binary
        result = driven(other.url, *queries(), name="other", folder=tmp_path / "run")
        assert all(("data" in one["inputs"][0]) != binary for one in other.bodies)
    metrics = result.metrics
    assert metrics["serve/other/accuracy"] == 1 and metrics["serve/other/queries"] == 60
    assert metrics["serve/other/lost"] == 0 and metrics["serve/other/fraction/own"] == 1
    assert metrics["serve/rate_qps"] == 500 and metrics["serve/other/latency_ms/p50"] > 0
    table = pd.read_parquet(tmp_path / "run" / "queries-other.parquet")
    assert table["query"].tolist() == list(range(10, 70)) and (table["predicted"] == table["label"]).all()
    assert np.allclose(table["latency_ms"], (table["completed_s"] - table["scheduled_s"]) * 1e3)
    assert (table["sent_s"] >= table["scheduled_s"]).all()
    assert (tmp_path / "run" / "metrics.json").is_file() and (tmp_path / "run" / "arrivals.csv").is_file()


def test_arrivals_do_not_wait_for_answers_and_latency_counts_from_them() -> None:
    with other_server() as other:
        other.delay_s = lambda _: 0.2
        began_s = time.monotonic()
        result = driven(other.url, load=Poisson(40, rate_qps=200.0), options=Options(connections=40))
        assert time.monotonic() - began_s < 3.0  # one after the other they would take 8 s
        other.delay_s = lambda _: 0.02
        narrow = driven(other.url, load=Poisson(20, rate_qps=1000.0), options=Options(connections=1))
    assert result.metrics["serve/server/latency_ms/p50"] > 200
    assert narrow.metrics["serve/server/latency_ms/max"] > 19 * 20  # those that waited on this side as well


def test_arrivals_and_queries_are_those_of_serve_and_its_seed() -> None:
    with other_server() as other:
        first = driven(other.url, *queries(), seed=3)
        again = driven(other.url, *queries(), seed=3)
        third = driven(other.url, *queries(), seed=4)
    assert first.arrivals_s is not None and again.arrivals_s is not None and third.arrivals_s is not None
    assert first.arrivals_s.equals(again.arrivals_s) and not first.arrivals_s.equals(third.arrivals_s)
    assert first.queries["label"].tolist() == again.queries["label"].tolist()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.one_of_many
def test_requests_of_several_queries(batch: int) -> None:
    with other_server() as other:
        result = driven(other.url, *queries(), options=Options(batch=batch), load=Poisson(40, rate_qps=400.0))
        shapes = [one["inputs"][0]["shape"][0] for one in other.bodies[1:]]  # the first is not measured
    assert shapes == [batch] * (40 // batch) + [40 % batch] * (40 % batch > 0)
    assert result.metrics["serve/server/queries"] == 40 and result.metrics["serve/server/accuracy"] == 1


@pytest.mark.parametrize(
    "load", [ClosedLoop(40, 5, clients=4), ClosedLoop(20, clients=2, think_ms=5), Steps([[0.2, 100], [0.1, 300]])]
)
@pytest.mark.one_of_many
def test_other_loads(load: Load) -> None:
    with other_server() as other:
        result = driven(other.url, load=load)
        assert other.asked == load.total + 1
    assert result.metrics["serve/server/queries"] == load.queries


def test_arrivals_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "arrivals.csv").write_text("scheduled_s\n0.0\n0.1\n0.1\n0.25\n")
    with other_server() as other:
        result = driven(other.url, load=TraceLoad(str(tmp_path / "arrivals.csv")))
    assert result.queries["scheduled_s"].tolist() == [0.0, 0.1, 0.1, 0.25]


def test_what_is_refused_is_lost_and_counts_by_its_kind(tmp_path: Path) -> None:
    with other_server() as other:
        other.status = lambda number: 200 if number < 40 else 503 if number < 70 else 500
        result = driven(other.url, load=Poisson(100, rate_qps=300.0), name="busy", folder=tmp_path / "run")
    metrics = result.metrics
    assert metrics["serve/busy/lost/refused"] == 30 and metrics["serve/busy/lost/failed"] == 32
    assert metrics["serve/busy/lost"] == 62
    assert metrics["serve/busy/queries"] + metrics["serve/busy/lost"] == 100
    errors = pd.read_csv(tmp_path / "run" / "errors-busy.csv")
    assert set(errors["what"]) == {"refused", "failed"} and errors["error"].str.contains("not now").all()


def test_a_server_that_dies_loses_what_comes_then() -> None:
    with other_server() as other:
        other.dies_at = 60
        result = driven(other.url, load=Poisson(300, rate_qps=300.0))
    lost = result.metrics["serve/server/lost/not_delivered"]
    assert 10 < lost < 300 and result.metrics["serve/server/queries"] == 300 - lost


def test_a_query_has_the_default_prediction_by_its_deadline() -> None:
    made, labels = queries()
    with other_server() as other:
        other.delay_s = lambda _: 0.3
        result = driven(other.url, made, labels, load=Poisson(20, rate_qps=400.0, slo_ms=50), default=torch.ones(2))
    assert result.metrics["serve/server/fraction/default"] == 1
    assert result.metrics["serve/server/latency_ms/max"] == pytest.approx(50)


def test_what_takes_too_long_is_given_up() -> None:
    with other_server() as other:
        options = Options(timeout_s=1.0)
        other.delay_s = lambda number: 0.0 if number < 30 else 2.0
        result = driven(other.url, load=Poisson(60, rate_qps=200.0), options=options)
    assert result.metrics["serve/server/lost/timed_out"] == 32


@pytest.mark.parametrize("body", [b"{}", b"no JSON", b'{"outputs": [{"name": "y"}]}', b'{"outputs": 3}', b""])
def test_answers_that_are_none_are_said_so_before_the_load(body: bytes) -> None:
    with other_server() as other:
        other.body = body
        with pytest.raises(UserError, match=r"a first query was answered in vain|no numbers"):
            driven(other.url, *queries())
        assert other.asked == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "http://127.0.0.1:1"}, "refused; is the server there"),
        ({"url": "grpc://127.0.0.1:1"}, "UNAVAILABLE"),
        ({"url": "127.0.0.1:8000"}, "expected http://HOST:PORT"),
        ({"url": "ftp://there"}, "expected http://HOST:PORT"),
        ({"url": "http://there:x"}, "expected http://HOST:PORT"),
        ({"url": "http://no-such-host.invalid:80"}, "no-such-host.invalid"),
        ({"model": "other"}, "model=other: .* has no such model .*; it has sums"),
        ({"queries": torch.zeros(3, 5)}, r"shape \[5\], and model sums takes x FP32 \[-1, 1, 4, 4\]"),
        ({"options": Options(input="z")}, "it has x"),
        ({"options": Options(token_file="/no/such")}, "client.token_file"),
        ({"load": Poisson(10, utilisation=0.5)}, "give a rate"),
        ({"labels": torch.zeros(3).long()}, "labels"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_why(given: dict[str, Any], words: str) -> None:
    with other_server() as other:
        url = given.pop("url", other.url)
        with pytest.raises((UserError, SettingError), match=words) as refused:
            driven(url, **given)
    assert "\n" not in str(refused.value)


def test_statuses_of_a_first_query_are_told() -> None:
    with other_server() as other:
        other.status = lambda _: 422
        with pytest.raises(UserError, match="a first query was rejected: 422 not now"):
            driven(other.url)


def test_a_server_that_says_nothing_of_its_inputs() -> None:
    with other_server() as other:
        other.silent, other.index = True, False
        with pytest.raises(UserError, match="model: name the model"):
            driven(other.url)
        with pytest.raises(SettingError, match="shape: the server does not say"):
            driven(other.url, model="sums")
        shaped = Options(shape=[16], input="given", datatype="FP64", output="y")
        driven(other.url, model="sums", options=shaped)
        assert other.bodies[-1]["inputs"][0]["name"] == "given"
        assert other.bodies[-1]["inputs"][0]["datatype"] == "FP64"
        assert driven(other.url, *queries(), model="sums").metrics["serve/server/accuracy"] == 1


def test_a_model_that_takes_one_query_at_a_time() -> None:
    with other_server() as other:
        other.shape = list(SHAPE)
        assert driven(other.url, *queries()).metrics["serve/server/queries"] == 60
        assert other.bodies[-1]["inputs"][0]["shape"] == list(SHAPE)
        with pytest.raises(SettingError, match="batch"):
            driven(other.url, *queries(), options=Options(batch=2))


def test_tokens_and_parameters_are_sent(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    options = Options(token_file=str(tmp_path / "token"), deadline_ms=70, exact=True)
    with other_server() as other:
        driven(other.url, options=options)
        assert all(one["authorization"] == "Bearer secret" for one in other.headers)
        assert all(one["parameters"] == {"deadline_ms": 70, "exact": True} for one in other.bodies)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.one_of_many
def test_our_own_endpoint_says_where_answers_come_from(scheme: str) -> None:
    with live() as made:
        url = f"{scheme}://{made.http if scheme == 'http' else made.grpc}"
        result = driven(url, *queries(), options=Options(batch=2), load=Poisson(40, rate_qps=300.0), seed=1)
    table = result.queries
    assert set(table["source"]) == {"own"} and set(table["instance"]) <= {0, 1}
    positive = torch.where(queries()[0].flatten(1).sum(1) > 0, 1, 2)
    assert set(table["predicted"]) <= set(positive.tolist())


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_sources_of_answers_go_into_the_recording(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asked, "source", property(lambda asked: ",".join(["reconstructed", "default"][: len(asked)])))
    monkeypatch.setattr(Asked, "instance", property(lambda asked: ",".join(["7", "-1"][: len(asked)])))
    with live() as made:
        url = f"{scheme}://{made.http if scheme == 'http' else made.grpc}"
        result = driven(url, options=Options(batch=2), load=Poisson(20, rate_qps=300.0))
    assert result.queries["source"].tolist() == ["reconstructed", "default"] * 10
    assert result.queries["instance"].tolist() == [7, -1] * 10


class FallsAsleep(SleepyPool):
    """Answers so many tasks, and no more."""

    def send(self, instance: int, task: int, model: str, queries: torch.Tensor) -> bool:
        self.asleep = task >= 20
        return super().send(instance, task, model, queries)


def test_grpc_loses_what_the_server_refuses() -> None:
    pool = FallsAsleep()
    with live(pool, settings={"queue": 4, "drain_s": 0.1}) as made:
        result = driven(f"grpc://{made.grpc}", load=Poisson(60, rate_qps=200.0), options=Options(timeout_s=1.0))
    assert result.metrics["serve/server/lost/refused"] > 0 and result.metrics["serve/server/lost/timed_out"] > 0


def test_nothing_is_answered_without_a_connection_any_more() -> None:
    with other_server() as other:
        other.dies_at = 1
        with pytest.raises(
            UserError, match=r"no query that is measured has an answer: .* \(not delivered\)|first query"
        ):
            driven(other.url, load=Poisson(20, 40, rate_qps=100.0))
