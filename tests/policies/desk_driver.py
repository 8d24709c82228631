"""Drives a desk by hand: a test says what instances do and when, and sees what is placed and answered."""

import gc
from collections.abc import Iterable
from itertools import compress
from typing import Any

from parity_exp.policies.desk import Desk, Response
from parity_exp.policies.policy import AnswerSource, Batch, Group, Policy, State, Work

KINDS = frozenset({Batch, Group, Work})


def living() -> list[Batch | Group | Work]:
    """What exists of batches, groups and tasks; with garbage collection off, also what only hangs in circles."""
    things = gc.get_objects()
    return list(compress(things, map(KINDS.__contains__, map(type, things))))  # all in C: there are many things


def alive() -> int:
    """How much exists of batches, groups and tasks."""
    return len(living())


class Driver:
    """A desk with instances that do what a test says.

    Checks on the way that no query is answered twice, that answers come from what they say, and that no instance is
    given more than ``prefetch`` tasks.

    Attributes:
        refusals: so many of the next placements are refused by their instances.
        now_s: the time; moved by :meth:`until`.
        running: tasks that each instance has, in the order in which it got them.
        placed: all tasks placed so far.
        answers: for each answered query its source and when.
        responses: all responses.
    """

    def __init__(self, policy: Policy, base_instances: int = 2, **desk_options: Any) -> None:
        self.desk = Desk(policy, base_instances, **desk_options)
        self.prefetch = desk_options.get("prefetch", 1)
        self.now_s = 0.0
        self.running: list[list[Work]] = [[] for _ in self.desk.held]
        self.placed: list[Work] = []
        self.answers: dict[int, tuple[AnswerSource, float]] = {}
        self.responses: list[Response] = []
        self.queries = 0
        self.refusals = 0

    # ---- events

    def arrive(self, count: int = 1) -> list[int]:
        """Let queries arrive now; their numbers."""
        numbers = list(range(self.queries, self.queries + count))
        self.queries += count
        for query in numbers:
            self.desk.arrive(query, self.now_s, self.now_s)
        self.settle()
        return numbers

    def until(self, now_s: float) -> None:
        """Let time pass, and wake the desk whenever it wants to be woken."""
        while (at_s := self.desk.wakes_s()) <= now_s:
            self.now_s = max(self.now_s, at_s)
            self.desk.wake(self.now_s)
            self.settle()
        self.now_s = now_s

    def finish(self, task: Work) -> None:
        self.running[task.instance].remove(task)
        self.desk.finished(task, self.now_s, result=task.model)
        self.settle()

    def fail(self, task: Work) -> None:
        self.running[task.instance].remove(task)
        self.desk.failed(task, self.now_s)
        self.settle()

    def stop(self, task: Work) -> None:
        """Let an instance stop at a task, as it was told."""
        self.running[task.instance].remove(task)
        self.desk.stopped(task, self.now_s)
        self.settle()

    def fail_until_given_up(self, query: int, model: str = "base", tries: int = 5) -> None:
        """Let a model raise on a query as often as it is tried."""
        for _ in range(tries):
            (task,) = self.tasks_of(query, model)
            self.fail(task)

    def kill(self, *instances: int) -> None:
        """Let instances die at once."""
        for instance in instances:
            self.running[instance].clear()
            self.desk.down(instance, self.now_s)
        self.settle()

    def up(self, *instances: int) -> None:
        for instance in instances:
            self.desk.up(instance)
        self.settle()

    def refuse(self, task: Work) -> None:
        """Let an instance refuse what it was just given."""
        self.running[task.instance].remove(task)
        self.placed.remove(task)
        self.desk.refused(task)

    def settle(self) -> None:
        """Place what can be placed, and take answers in."""
        self.desk.place(self.now_s)
        placements, self.desk.placements = self.desk.placements, []
        for task in placements:
            assert task.state is State.PLACED
            assert task.model in self.desk.held[task.instance]
            if self.refusals:
                self.refusals -= 1
                self.desk.refused(task)
                continue
            self.placed.append(task)
            self.running[task.instance].append(task)
            assert len(self.running[task.instance]) <= self.prefetch
        responses, self.desk.responses = self.desk.responses, []
        for response in responses:
            _check(response, self.desk.policy)
            self.responses.append(response)
            for element in response.elements:
                query = response.batch.queries[element]
                assert query not in self.answers, f"query {query} was answered twice"
                self.answers[query] = (response.source, self.now_s)
        assert self.desk.unanswered == self.queries - len(self.answers)

    # ---- what there is

    def on_instances(self) -> list[Work]:
        """Tasks that instances have, in the order of their placements."""
        return sorted((task for tasks in self.running for task in tasks), key=lambda task: task.number)

    def tasks_of(self, query: int, model: str = "base") -> list[Work]:
        """Tasks of a query that instances have."""
        return [
            task
            for task in self.on_instances()
            if task.batch is not None and query in task.batch.queries and task.model == model
        ]

    def task_of(self, query: int, model: str = "base") -> Work:
        """The only task of a query that instances have."""
        (task,) = self.tasks_of(query, model)
        return task

    def parities(self) -> list[Work]:
        """Parity tasks that instances have."""
        return [task for task in self.on_instances() if task.batch is None]

    def sources(self, queries: Iterable[int]) -> list[AnswerSource | None]:
        """What answered queries; None for those without an answer."""
        return [self.answers[query][0] if query in self.answers else None for query in queries]


def _check(response: Response, policy: Policy) -> None:
    """See that an answer is what it says."""
    batch, task = response.batch, response.work
    assert len(set(response.elements)) == len(response.elements) > 0
    if response.source in (AnswerSource.OWN, AnswerSource.BACKUP):
        assert task is not None
        assert (task.state, task.result) == (State.FINISHED, task.model)
        assert task.batch is batch or (task.batch is None and response.parities == (task,) and response.place >= 0)
        assert (task.model in ("backup", "multiplexed_backup")) is (response.source is AnswerSource.BACKUP)
    elif response.source is AnswerSource.RECONSTRUCTED:
        own, parities = response.own, response.parities
        assert own[response.place] is None
        missing, outputs = own.count(None), len(parities) - parities.count(None)
        least = 1 if getattr(policy, "anytime_s", None) is not None else missing
        assert least <= outputs if policy.replaces_queries else policy.needs.suffice(len(own) - missing, outputs)
        tasks = [other for other in (*own, *parities) if other is not None]
        assert all(other.result == other.model for other in tasks)
        assert all(max(response.elements) < len(other.batch) for other in tasks if other.batch is not None)
    elif response.source is AnswerSource.DEFAULT:
        assert task is None
