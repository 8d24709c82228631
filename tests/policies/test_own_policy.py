"""A policy from outside: the documented example, what it may rely on, and names of the last release."""

import inspect
import textwrap
from typing import Any

import numpy as np
import pytest

from parity_exp.disturbances import Exponential
from parity_exp.policies import NoRedundancy
from parity_exp.policies import policy as interface
from parity_exp.policies.desk import RETRY_S
from parity_exp.policies.policy import Policy, Work
from parity_exp.policies.queues import Queues, RoundRobin, SingleQueue
from parity_exp.simulation import Outcome, ServiceTimes, simulate
from tests.policies.desk_driver import Driver
from tests.policies.test_every_policy import every_policy

OF_THE_LAST_RELEASE = """
from parity_exp.serving.look import Look
from parity_exp.serving.policy import BASE, TRIES, Actions, Batch, Group, Policy, Role, Source, State, Task


class Careful(Policy):
    looks = (Look(colour="#123456"),)

    def roles(self, base_instances):
        return [Role("all", base_instances + self.extra_instances(base_instances), (BASE,), 1)]

    def arrived(self, batch, now_s):
        self.dispatch(Task(BASE, "all", batch))
        self.dispatch(Task(BASE, "all", batch, low=True))
        self.actions.rest(0)
        self.actions.set_timer(now_s + 0.03, batch)

    def finished(self, task, now_s):
        batch = task.batch
        batch.tasks.remove(task)
        if batch.answered:
            return
        if batch.spare is None and batch.tasks:
            batch.spare = task
        else:
            self.actions.respond(batch, Source.OWN, batch.spare or task)
            self.cancel_tasks(batch)

    def timer(self, batch, now_s):
        self.actions.trust(0)
        if batch.spare is not None:
            self.actions.respond(batch, Source.OWN, batch.spare)
            batch.tasks = list(batch.tasks)
            self.cancel_tasks(batch)
"""


def example() -> type[Policy]:
    """The class in the description of the interface."""
    text = inspect.getdoc(interface)
    assert text is not None
    code = text.split("::\n", 1)[1].split("\nA config", 1)[0]
    names: dict[str, Any] = {}
    exec(textwrap.dedent(code), names)
    made: type[Policy] = names["Impatient"]
    return made


def simulated(policy: Policy) -> Outcome:
    arrivals_s = np.arange(150) * 0.004
    service = ServiceTimes(
        {name: Exponential(0.01) for name in ("base", "backup", "multiplexed_backup", "parity-0", "parity-1")}
    )
    return simulate(policy, arrivals_s, service, 4)


def test_the_example_in_the_description_sends_late_queries_again() -> None:
    impatient = example()
    driver = Driver(impatient(2, 1), 2)
    driver.arrive(1)
    driver.until(0.029)
    assert len(driver.placed) == 1
    driver.until(0.03)
    assert len(driver.placed) == 2
    outcome = simulated(impatient(2, 1, wait_ms=5.0))  # type: ignore[call-arg]
    assert outcome.lost == 0 and len(outcome.tasks()) > 200, "150 queries, and copies of many of them"


def test_a_policy_of_the_last_release_finds_everything_by_its_old_name() -> None:
    names: dict[str, Any] = {}
    exec(OF_THE_LAST_RELEASE, names)
    driver = Driver(names["Careful"](2, 1), 2)  # 3 instances
    driver.arrive(1)
    first, second = driver.on_instances()
    assert {first.instance, second.instance} == {0, 1}, "0 rests, and is given low-priority work; 2 is the reserve"
    driver.finish(first)
    assert driver.answers == {}
    driver.finish(second)
    assert driver.answers[0] == (names["Source"].OWN, 0.0)
    driver.arrive(1)
    driver.finish(driver.on_instances()[0])
    driver.until(0.029)
    assert 1 not in driver.answers
    driver.until(0.03)
    assert driver.answers[1] == (names["Source"].OWN, 0.03)
    assert simulated(names["Careful"](2, 1)).lost == 0


class Remembering(NoRedundancy):
    """Remembers what it has sent."""

    def __init__(self, k: int, r: int) -> None:
        super().__init__(k, r)
        self.sent: list[Work] = []

    def dispatch(self, work: Work) -> None:
        self.sent.append(work)
        super().dispatch(work)


@pytest.mark.parametrize("queues", [SingleQueue, RoundRobin])
def test_work_has_an_instance_from_when_it_is_placed_and_none_while_it_is_queued(queues: type[Queues]) -> None:
    driver = Driver(policy := Remembering(2, 1), 2, queues=queues)
    driver.arrive(4)
    assert [work.instance for work in policy.sent] == [0, 1, -1, -1]
    driver.refuse(policy.sent[0])
    assert policy.sent[0].instance == -1
    driver.until(RETRY_S)
    assert policy.sent[0].instance == 0


@pytest.mark.parametrize("index", range(len(every_policy())))
def test_roles_are_a_question_and_a_run_begins_anew(index: int) -> None:
    policy = every_policy()[index]
    before = policy.roles(4)
    first = simulated(policy).tasks()
    assert policy.roles(4) == before
    assert policy.roles(9) != before
    again = simulated(policy).tasks()
    assert first.equals(again) and first.equals(simulated(every_policy()[index]).tasks())
