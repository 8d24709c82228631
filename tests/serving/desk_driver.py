"""Drives a desk by hand: a test says what instances do and when, and sees what is placed and answered."""

import gc
from collections.abc import Iterable
from typing import Any

from parity_exp.serving.desk import Desk, Response
from parity_exp.serving.policy import Batch, Group, Policy, Source, State, Task


def alive() -> int:
    """Batches, groups and tasks that exist; with garbage collection off, those in circles of references are counted."""
    return sum(isinstance(thing, Batch | Group | Task) for thing in gc.get_objects())


class Driver:
    """A desk with instances that do what a test says.

    Checks on the way that no query is answered twice, that no cancelled task is placed, and that no instance is given
    more than ``prefetch`` tasks.

    Attributes:
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
        self.running: list[list[Task]] = [[] for _ in self.desk.held]
        self.placed: list[Task] = []
        self.answers: dict[int, tuple[Source, float]] = {}
        self.responses: list[Response] = []
        self.queries = 0

    # ---- events

    def arrive(self, count: int = 1) -> list[int]:
        """Let queries arrive now; their numbers."""
        numbers = list(range(self.queries, self.queries + count))
        for query in numbers:
            self.queries += 1
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

    def finish(self, task: Task) -> None:
        self.running[task.instance].remove(task)
        self.desk.finished(task, self.now_s, result=task.model)
        self.settle()

    def fail(self, task: Task) -> None:
        self.running[task.instance].remove(task)
        self.desk.failed(task, self.now_s)
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

    def refuse(self, task: Task) -> None:
        self.running[task.instance].remove(task)
        self.placed.remove(task)
        self.desk.refused(task)

    def settle(self) -> None:
        """Place what can be placed, and take answers in."""
        self.desk.place(self.now_s)
        for task in self.desk.placements:
            assert task.state is State.PLACED
            assert task.model in self.desk.held[task.instance]
            self.placed.append(task)
            self.running[task.instance].append(task)
            assert len(self.running[task.instance]) <= self.prefetch
        self.desk.placements.clear()
        for response in self.desk.responses:
            self.responses.append(response)
            for element in response.elements:
                query = response.batch.queries[element]
                assert query not in self.answers, f"query {query} was answered twice"
                self.answers[query] = (response.source, self.now_s)
        self.desk.responses.clear()
        assert self.desk.unanswered == self.queries - len(self.answers) or self.desk.batch_size > 1

    # ---- what there is

    def on_instances(self) -> list[Task]:
        """Tasks that instances have, in the order of their placements."""
        return sorted((task for tasks in self.running for task in tasks), key=lambda task: task.number)

    def tasks_of(self, query: int, model: str = "base") -> list[Task]:
        """Tasks of a query that instances have."""
        return [
            task
            for task in self.on_instances()
            if task.batch is not None and query in task.batch.queries and task.model == model
        ]

    def task_of(self, query: int, model: str = "base") -> Task:
        """The only task of a query that instances have."""
        (task,) = self.tasks_of(query, model)
        return task

    def parities(self) -> list[Task]:
        """Parity tasks that instances have."""
        return [task for task in self.on_instances() if task.batch is None]

    def sources(self, queries: Iterable[int]) -> list[Source | None]:
        """What answered queries; None for those without an answer."""
        return [self.answers[query][0] if query in self.answers else None for query in queries]
