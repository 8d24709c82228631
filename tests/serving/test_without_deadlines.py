"""Without a deadline nothing cuts an answer off, and a run ends all the same."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from parity_exp.checks import SettingError
from parity_exp.policies import Parity
from parity_exp.policies.desk import Desk
from parity_exp.policies.policy import AnswerSource, Policy
from parity_exp.policies.queues import Queues, RoundRobin, SingleQueue
from parity_exp.recordings.recorder import Recorder
from parity_exp.recordings.writer import latency_log
from parity_exp.serving.frontend import Frontend, Workload
from parity_exp.serving.pools import LocalPool
from parity_exp.simulation import simulate
from parity_exp.tasks import Classification
from tests.recordings.test_costs import POLICIES, coder_of
from tests.serving.direct_pool import DirectPool

HOURS_S = 9_000.0


@pytest.mark.parametrize("name", POLICIES)
def test_answers_that_take_hours_are_waited_for(name: str) -> None:
    outcome = simulate(POLICIES[name](), np.arange(40) * 3 * HOURS_S, lambda *_: HOURS_S, base_instances=4)
    assert outcome.lost == 0
    assert set(outcome.source) <= {AnswerSource.OWN, AnswerSource.RECONSTRUCTED}
    assert outcome.latency_ms.min() >= HOURS_S * 1e3


def raising(queries: Tensor) -> Tensor:
    raise ValueError("never")


def serve(policy: Policy, model: Callable[[Tensor], Tensor], queries: int, **options: Any) -> Recorder:
    task = Classification(tuple("abcd"))
    recorder = Recorder(queries, 0, task)
    arrivals_s = np.zeros(1) if options.get("think_s") is not None else np.arange(queries) * 1e-4
    workload = Workload(
        torch.eye(4), torch.arange(4), np.arange(queries) % 4, arrivals_s, options.get("think_s"), task, torch.zeros(4)
    )
    Frontend(DirectPool(model), Desk(policy, 4), coder_of(policy), workload, recorder).run()
    return recorder


@pytest.mark.parametrize("think_s", [None, 0.0])
@pytest.mark.parametrize("name", POLICIES)
def test_a_model_that_always_raises_ends_in_errors(name: str, think_s: float | None) -> None:
    recorder = serve(POLICIES[name](), raising, 7, think_s=think_s)  # the last group of a code does not fill
    assert recorder.lost == recorder.duplicates == 0
    assert recorder.queries()["source"].tolist() == ["error"] * 7


@pytest.mark.parametrize("name", POLICIES)
def test_a_simulated_model_that_always_raises_ends_in_errors(name: str) -> None:
    outcome = simulate(POLICIES[name](), np.arange(7) * 0.01, lambda *_: 0.005, base_instances=4, raises=lambda _: True)
    assert outcome.lost == 0 and set(outcome.source) == {AnswerSource.ERROR}


@pytest.mark.parametrize("queues", [SingleQueue, RoundRobin])
def test_a_desk_is_stuck_when_all_instances_of_a_role_are_gone_for_good(queues: type[Queues]) -> None:
    desk = Desk(Parity(2, 1), 2, queues)
    desk.down(0, 0.0)
    desk.down(1, 0.0, final=True)
    desk.arrive(0, 0.0, 0.0)
    desk.place(0.0)
    assert not desk.is_stuck  # instance 0 may come back, and there is something for it to do
    desk.down(0, 0.1, final=True)
    assert desk.is_stuck and desk.unanswered == 1
    desk.give_up(0.2)
    assert [response.source for response in desk.responses] == [AnswerSource.ERROR]
    assert desk.unanswered == 0


def test_a_desk_with_work_under_way_or_due_is_not_stuck() -> None:
    desk = Desk(Parity(2, 1), 2, batch_size=2, window_s=1.0)
    desk.arrive(0, 0.0, 0.0)
    assert not desk.is_stuck
    desk.wake(1.0)
    desk.place(1.0)
    desk.placements.clear()
    assert not desk.is_stuck


def test_the_latency_log_reaches_beyond_an_hour() -> None:
    latency_ms = np.array([10.0, 3.7e6, 2.2e7])
    log = latency_log(pd.DataFrame({"completed_s": latency_ms / 1e3, "latency_ms": latency_ms}))
    greatest = [float(line.split(",")[2]) for line in log.splitlines() if line[:1].isdigit()]
    assert greatest == pytest.approx(latency_ms, rel=1e-3)


def test_tasks_that_a_pool_would_kill_are_refused() -> None:
    with pytest.raises(SettingError, match=r"service_time_ms=70000.*task_timeout_s=30"):
        LocalPool(service_time_ms=70_000, task_timeout_s=30)
    assert math.isclose(LocalPool(service_time_ms=70_000, task_timeout_s=100).service_time_ms, 70_000)
