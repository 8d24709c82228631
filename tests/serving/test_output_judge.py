"""The judge of real serving: what it finds in outputs goes to the policy and on record."""

from typing import Any

import pandas as pd
import pytest
import torch

from parity_exp.coding import Chebyshev, SubtractionDecoder
from parity_exp.coding.consistency import Consistency
from parity_exp.policies.policy import Batch, Group, Work
from parity_exp.recordings.recorder import Recorder
from parity_exp.serving.output_judge import OutputJudge
from parity_exp.tasks import Classification

R = 2
DECODER = SubtractionDecoder(2, R, (10,), Chebyshev().matrix(2, R))


@pytest.fixture
def recorder() -> Recorder:
    recorder = Recorder(4, 0)
    for query in range(4):
        recorder.sent(query, 0.0, 0.0, label=1)
        recorder.answered(query, 0.1, 0, predicted=1)
    return recorder


@pytest.fixture
def judge(recorder: Recorder) -> OutputJudge:
    predictions = torch.randn(500, 2, 10)
    parities = DECODER.targets(predictions) + 0.01 * torch.randn(500, R, 10)
    differences = Classification([str(number) for number in range(10)]).differences
    return OutputJudge(recorder, Consistency(DECODER, differences, predictions, parities, 0.01))


def finished(number: int, result: torch.Tensor, **of: Any) -> Work:
    task = Work("model", "role", **of)
    task.number, task.result = number, result
    return task


def group_of(predictions: torch.Tensor) -> Group:
    """A group of two batches of two queries, ``predictions`` of shape ``(2, 2, 10)`` by batch and element."""
    group = Group(0, R)
    group.members = [Batch((0, 1), 0.0), Batch((2, 3), 0.0)]
    group.elements = 2
    targets = DECODER.targets(predictions.transpose(0, 1))
    group.own = [finished(i, predictions[i].clone(), batch=group.members[i]) for i in range(2)]
    group.parities = [finished(2 + j, targets[:, j].clone(), group=group, row=j) for j in range(R)]
    return group


def flagged(recorder: Recorder) -> list[int]:
    table: pd.DataFrame = recorder.queries()
    return [int(query) for query in table.loc[table["flagged"], "query"]]


def test_a_group_that_fits_is_no_alarm(judge: OutputJudge, recorder: Recorder) -> None:
    assert not judge.suspects(group_of(torch.randn(2, 2, 10)))
    assert flagged(recorder) == []
    metrics = judge.metrics()
    assert metrics.pop("check_us") > 0
    assert metrics == {"checks": 2, "false_alarm_rate": 0}


def test_a_wrong_prediction_is_told_to_the_policy_and_its_query_is_flagged(
    judge: OutputJudge, recorder: Recorder
) -> None:
    group = group_of(torch.randn(2, 2, 10))
    assert group.own[1] is not None
    group.own[1].result[0] = 5 * torch.randn(10)
    recorder.task(1, "base", 0, 0, 0, 0, "done", corrupted=True)
    assert judge.suspects(group) == {1}
    assert flagged(recorder) == [2]
    # The other element of the task is as it was, and counts as missed.
    assert recorder.check_metrics() == {"checks": 2, "detection_rate": 0.5}


def test_a_wrong_parity_output_flags_no_query(judge: OutputJudge, recorder: Recorder) -> None:
    group = group_of(torch.randn(2, 2, 10))
    assert group.parities[0] is not None
    group.parities[0].result[:] = torch.nan
    assert judge.suspects(group) == {2}
    assert flagged(recorder) == []
    assert recorder.check_metrics() == {"checks": 2, "false_alarm_rate": 1}


def test_copies_agree_when_they_differ_by_rounding_only(recorder: Recorder) -> None:
    judge = OutputJudge(recorder, None)
    batch = Batch((1, 2), 0.0)
    result = torch.randn(2, 10)
    first, same, other, nan = (
        finished(number, result * factor, batch=batch) for number, factor in enumerate((1.0, 1 + 1e-5, 1.2, torch.nan))
    )
    assert judge.agree(first, same) and flagged(recorder) == []
    assert not judge.agree(first, other) and not judge.agree(first, nan)
    assert flagged(recorder) == [1, 2]
    assert judge.metrics() == {"checks": 3, "false_alarm_rate": pytest.approx(2 / 3)}
