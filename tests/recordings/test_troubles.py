"""What goes wrong with models and instances is told once for each kind, with how often, and never makes it worse."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from parity_exp.analysis.pages.findings import error_warnings, warnings
from parity_exp.analysis.tables.serving import wrong_answers_table
from parity_exp.coding import Chebyshev, SubtractionDecoder
from parity_exp.coding.consistency import Consistency
from parity_exp.disturbances.timeline import Timeline
from parity_exp.policies import (
    CheckedParity,
    CheckedSharedParity,
    Hedged,
    NoRedundancy,
    Parity,
    Replication,
    VotedParity,
    VotedReplication,
)
from parity_exp.policies.desk import Desk
from parity_exp.policies.policy import Policy
from parity_exp.recordings.error_text import MAX_TEXT, one_line
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.reader import read_recordings
from parity_exp.recordings.recorder import Recorder
from parity_exp.recordings.troubles import MOST, Troubles
from parity_exp.serving.frontend import Frontend, Workload
from parity_exp.serving.output_judge import OutputJudge
from parity_exp.serving.pool import Down, Event, Raised
from parity_exp.serving.pools import LocalPool
from parity_exp.serving.worker import text_of
from parity_exp.tasks import Classification
from tests.recordings.test_costs import coder_of
from tests.serving.direct_pool import DirectPool
from tests.serving.pool_driver import answer, gather
from tests.serving.small_models import NASTY, NASTY_ERRORS

TASK = Classification(tuple("abcd"))
QUERIES = 240


def serve(
    policy: Policy, model: Callable[[Tensor], Tensor], folder: Path | None = None, slo_s: float = 5.0
) -> tuple[Frontend, Recorder]:
    recorder = Recorder(QUERIES, 0, TASK)
    consistency = None
    if policy.false_alarm_rate is not None:
        decoder = SubtractionDecoder(policy.k, policy.r, (4,), Chebyshev().matrix(policy.k, policy.r))
        normal = torch.randn(500, policy.k, 4)
        noise = 0.01 * torch.randn(500, policy.r, 4)
        consistency = Consistency(decoder, TASK.differences, normal, decoder.targets(normal) + noise, 0.01)
    judge = OutputJudge(recorder, consistency)
    samples = torch.eye(4)
    workload = Workload(
        samples, torch.arange(4), np.arange(QUERIES) % 4, np.arange(QUERIES) * 1e-4, None, TASK, torch.zeros(4)
    )
    desk = Desk(policy, 4, slo_s=slo_s, judge=judge)
    frontend = Frontend(DirectPool(model), desk, coder_of(policy), workload, recorder)
    frontend.run()
    if folder is not None:
        recorder.save(folder, "policy")
        frontend.troubles.save(folder, "policy")
    return frontend, recorder


def test_a_model_that_fails_now_and_then_is_told_of_once_for_each_kind_of_error(tmp_path: Path) -> None:
    calls = iter(range(10**6))

    def failing(queries: Tensor) -> Tensor:
        call = next(calls)
        if call % 5 == 0:
            raise ValueError(f"index {call} is out of bounds at 0x{call:x}\nsecond line")
        if call % 7 == 0:
            raise KeyError("nosuch, <b>")
        return queries

    frontend, recorder = serve(NoRedundancy(2, 1), failing, tmp_path)
    first, second = frontend.troubles.sentences()
    assert "tasks of base raised ValueError: index 0 is out of bounds at 0x0 second line" in first
    assert "tasks of base raised KeyError" in second and "instances 0, 1, 2, 3" in second
    raised = int((recorder.tasks()["outcome"] == "raised").sum())
    assert frontend.metrics()["errors"] == raised > 40
    errors = read_recordings(tmp_path).errors
    assert errors["times"].sum() == raised and list(errors["what"]) == ["raised", "raised"]
    assert [line.partition(": ")[2] for line in error_warnings(errors)] == [f"{first}.", f"{second}."]


def test_nothing_wrong_leaves_nothing(tmp_path: Path) -> None:
    frontend, _ = serve(NoRedundancy(2, 1), lambda queries: queries, tmp_path)
    assert not frontend.troubles and not list(tmp_path.glob("errors-*"))
    assert not {"errors", "hangs", "deaths", "not_finite_tasks", "fraction/not_finite"} & frontend.metrics().keys()
    assert read_recordings(tmp_path).errors.empty


def not_finite(value: float) -> Callable[[Tensor], Tensor]:
    """The identity, but for what is the last class."""

    def model(queries: Tensor) -> Tensor:
        return torch.where(queries[:, 3:] > 0, torch.tensor(value), queries)

    return model


FLAGGING: dict[str, Callable[[], Policy]] = {
    "checked_parity": lambda: CheckedParity(2, 1),
    "checked_shared_parity": lambda: CheckedSharedParity(2, 1),
    "voted_parity": lambda: VotedParity(2, 2),
    "voted_replication": lambda: VotedReplication(2, 1),
}
OTHERS: dict[str, Callable[[], Policy]] = {
    "none": lambda: NoRedundancy(2, 1),
    "hedged": lambda: Hedged(2, 1),
    "replication": lambda: Replication(2, 1),
    "parity": lambda: Parity(2, 1),
}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [*FLAGGING, *OTHERS])
def test_answers_that_are_not_finite_are_counted_and_flagged_where_answers_are(name: str, value: float) -> None:
    policy = (FLAGGING | OTHERS)[name]()
    frontend, recorder = serve(policy, not_finite(value))
    metrics = serving_metrics(recorder.queries()) | frontend.metrics()
    table = recorder.queries()
    flagged = set(table.loc[table["flagged"], "query"])
    (sentence,) = (line for line in frontend.troubles.sentences() if "of base" in line)
    assert "not finite: " + ("NaN" if value != value else "infinity") in sentence
    if name == "voted_parity":  # two parity outputs put each right again
        assert "fraction/not_finite" not in metrics and len(flagged) >= QUERIES / 8
        return
    assert 0 < metrics["fraction/not_finite"] <= 0.5
    wrong = {int(query) for query in np.flatnonzero(recorder._not_finite)}
    assert wrong <= flagged if name in FLAGGING else not flagged
    metrics |= {"queries": QUERIES}
    assert any("NaN or infinite" in line for line in warnings({name: metrics}))
    assert "not finite" in wrong_answers_table({name: metrics})


def test_instances_that_hang_are_named_where_answers_come_too_late() -> None:
    class Hanging(DirectPool):
        def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
            return instance == 2 or super().send(instance, task, model, queries)

    recorder = Recorder(40, 0, TASK)
    arrivals_s = np.linspace(0, 1.2, 40)
    workload = Workload(torch.eye(4), torch.arange(4), np.arange(40) % 4, arrivals_s, None, TASK, torch.zeros(4))
    frontend = Frontend(
        Hanging(lambda queries: queries), Desk(NoRedundancy(2, 1), 4, slo_s=0.3), None, workload, recorder
    )
    frontend.run()
    (sentence,) = frontend.troubles.sentences()
    assert sentence.startswith("instance 2 hung") and "one task" in sentence
    values = serving_metrics(recorder.queries()) | frontend.metrics() | {"fraction/default": 0.2}
    assert values["hangs"] == 1
    assert any("Instances hung 1 time" in line for line in warnings({"none": values}))


def test_instances_that_die_or_are_killed_for_a_hang_are_counted_and_those_killed_on_purpose_are_not() -> None:
    desk = Desk(NoRedundancy(2, 1), 2)
    workload = Workload(torch.eye(4), torch.arange(4), np.arange(4), np.zeros(4), None, TASK, torch.zeros(4))
    frontend = Frontend(DirectPool(lambda queries: queries), desk, None, workload, Recorder(4, 0, TASK))
    downs: list[Event] = [
        Down(0, "its process was killed by SIGSEGV"),
        Down(0, "its process was killed by SIGSEGV"),
        Down(1, "one task took longer than pool.task_timeout_s=30", hung=True),
        Down(1, "killed on demand", on_demand=True),
    ]
    for event in downs:
        frontend._handle(event, 0.0)
    assert frontend.troubles.sentences() == [
        "instance 0 died 2 times: its process was killed by SIGSEGV",
        "instance 1 hung: one task took longer than pool.task_timeout_s=30",
    ]
    assert frontend.troubles.metrics() == {"deaths": 2, "hangs": 1}


def test_errors_that_are_all_different_stay_few() -> None:
    troubles = Troubles()
    for number in range(10 * MOST):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        troubles.note("raised", "base", 0, f"ValueError: {word}")
    assert len(troubles.sentences()) == MOST + 1
    assert troubles.metrics() == {"errors": 10 * MOST}


@pytest.mark.parametrize("error", NASTY_ERRORS, ids=lambda error: type(error).__name__)
def test_the_text_of_an_error_is_one_short_line_that_any_file_takes(error: BaseException) -> None:
    text = text_of(error)
    assert text and text.isprintable() and len(text) <= MAX_TEXT
    assert len(text.encode()) <= 4 * MAX_TEXT
    assert one_line(text) == text


def test_no_error_of_a_model_takes_its_instance_down() -> None:
    pool = LocalPool(devices="cpu", service_time_ms=0)
    pool.start({"nasty": NASTY}, [["nasty"]], 1, [Timeline()])
    try:
        for number in range(1, len(NASTY_ERRORS) + 1):
            assert pool.send(0, number, "nasty", torch.tensor([[float(number), 0.0]]))
            (event,) = gather(pool, bool)
            assert isinstance(event, Raised) and event.task == number, event
        assert answer(pool, 0, "nasty", torch.zeros(1, 2)).tolist() == [[0.0]]
    finally:
        pool.close()
