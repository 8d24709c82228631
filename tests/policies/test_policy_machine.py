"""A state machine that does to every policy whatever instances, clients and time can do, and watches what it does.

What must hold: every query is answered exactly once; a task has a cause; a cancelled task is not placed; an instance
never has more than ``prefetch`` tasks; as long as instances come back everything is answered, deadline or not; and
afterwards nothing is held, though the garbage collector is off.

Causes of tasks, everything else is one too many:

- a batch arrives: one own task (``factor`` of them with replication, and one for the backup model);
- the last batch of a group arrives: one parity task a row, once;
- a task fails, and its batch has no answer yet or its group is not over: the same once more, as its next try;
- with a non-systematic code, instead of own tasks: a group that did not fill in time, or that can no longer have the
  answers it needs, is given up: one own task for each of its batches that has no answer;
- with a multiplexed backup, a timer of a batch whose group did not fill in time: the group's one task;
- with hedging, a timer of a batch that has no answer: one copy; so with reissues and tied requests. Timers of hedging
  are set when an instance gets a task of the batch, for when it is late, or for when the batch is later than it was
  thought to be.
"""

import gc
from collections import Counter, defaultdict
from collections.abc import Callable, Collection

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from parity_exp.policies import (
    Adaptive,
    ApproximateBackup,
    CheckedParity,
    CheckedSharedParity,
    Coded,
    Duplicates,
    EqualResources,
    Hedged,
    Laedge,
    NoRedundancy,
    Parity,
    Reissue,
    Replication,
    SharedParity,
    Tied,
    VotedParity,
    VotedReplication,
)
from parity_exp.policies.needs import Needs
from parity_exp.policies.policy import (
    BACKUP,
    BASE,
    TRIES,
    Actions,
    AnswerSource,
    Batch,
    Group,
    Policy,
    Role,
    State,
    Work,
)
from parity_exp.policies.queues import Queues, RoundRobin, SingleQueue
from parity_exp.policies.queues.in_order import COMPACT
from tests.policies.desk_driver import Driver, living

DELAY_S = 0.03
FILL_S = 0.02

HEDGING = (Hedged, SharedParity)
COPIES_ON_TIME = (*HEDGING, Reissue, Tied)


def always_reissue(k: int, r: int) -> Policy:
    """A reissue policy that knows from the beginning when to reissue what."""

    class Knowing(Reissue):
        def start(self, actions: Actions) -> None:
            super().start(actions)
            self.best.delay_s, self.best.probability = DELAY_S, 0.7

    return Knowing(k, r)


def apart(policy: Policy) -> Policy:
    """A policy whose code brings all predictions back from one parity output."""
    policy.decodes_by(Needs(policy.k, (policy.k, *[0] * policy.r)))
    return policy


POLICIES: dict[str, list[Callable[[int, int], Policy]]] = {
    "none": [NoRedundancy],
    "equal_resources": [EqualResources],
    "replication": [Replication, lambda k, r: Replication(k, r, factor=3)],
    "hedged": [
        Hedged,
        lambda k, r: Hedged(k, r, delay_ms=1e3 * DELAY_S),
        lambda k, r: Hedged(k, r, delay_ms=1e3 * DELAY_S, copies=2, urgent=False),
        lambda k, r: Hedged(k, r, delay_ms=1e3 * DELAY_S, max_extra=0.2, tokens=4),
    ],
    "reissue": [always_reissue],
    "tied": [Tied, lambda k, r: Tied(k, r, delay_ms=0)],
    "laedge": [Laedge],
    "duplicates": [Duplicates],
    "approximate_backup": [
        ApproximateBackup,
        lambda k, r: ApproximateBackup(k, r, delay_ms=0),
        lambda k, r: ApproximateBackup(k, r, delay_ms=1e3 * DELAY_S),
    ],
    "multiplexed_backup": [
        lambda k, r: ApproximateBackup(k, r, multiplexed=True, fill_ms=1e3 * FILL_S),
        lambda k, r: ApproximateBackup(k, r, delay_ms=0, multiplexed=True, fill_ms=0),
        lambda k, r: ApproximateBackup(k, r, delay_ms=1e3 * DELAY_S, multiplexed=True, fill_ms=1e3 * FILL_S),
    ],
    "coded": [
        lambda k, r: Coded(k, r, range(k + 1), k, fill_ms=1e3 * FILL_S),
        lambda k, r: Coded(k, r, range(k + r + 1)[::-1], k, fill_ms=1e3 * FILL_S, equal_resources=False),
    ],
    "parity": [
        Parity,
        lambda k, r: Parity(k, r, wait_exact_ms=1e3 * DELAY_S),
        lambda k, r: Parity(k, r, reconstruct="late", delay_ms=1e3 * DELAY_S),
    ],
    "places apart": [
        lambda k, r: apart(Parity(k, r)),
        lambda k, r: apart(Parity(k, r, reconstruct="late", delay_ms=1e3 * DELAY_S)),
        lambda k, r: apart(Parity(k, r, wait_exact_ms=1e3 * DELAY_S)),
        lambda k, r: apart(CheckedParity(k, r)),
        lambda k, r: apart(VotedParity(k, r + 1, wait_ms=1e3 * DELAY_S)),
    ],
    "places apart on a shared pool": [
        lambda k, r: apart(SharedParity(k, r, delay_ms=1e3 * DELAY_S, load_limit=10, reserve=0)),
        lambda k, r: apart(SharedParity(k, r, delay_ms=1e3 * DELAY_S, load_limit=10, reserve=0, reconstruct="late")),
        lambda k, r: apart(
            Adaptive(k, r, delay_ms=1e3 * DELAY_S, copy_limit=0, load_limit=10, reserve=0, reconstruct="late")
        ),
    ],
    "shared_parity": [
        SharedParity,
        lambda k, r: SharedParity(k, r, delay_ms=1e3 * DELAY_S, load_limit=10, reserve=0),
        lambda k, r: SharedParity(k, r, delay_ms=1e3 * DELAY_S, load_limit=0),
        lambda k, r: SharedParity(k, r, delay_ms=1e3 * DELAY_S, load_limit=10, wait_exact_ms=2e3 * DELAY_S),
    ],
    "adaptive": [
        Adaptive,
        lambda k, r: Adaptive(k, r, delay_ms=1e3 * DELAY_S, copy_limit=10, load_limit=10, reserve=0),
        lambda k, r: Adaptive(k, r, delay_ms=1e3 * DELAY_S, copy_limit=0),
        lambda k, r: Adaptive(k, r, delay_ms=1e3 * DELAY_S, copies_all=False, load_limit=10, skips_rare=False),
    ],
    "checked": [CheckedParity, lambda k, r: CheckedSharedParity(k, r, delay_ms=1e3 * DELAY_S, load_limit=10)],
    "voted": [
        lambda k, r: VotedParity(k, r + 1, wait_ms=1e3 * DELAY_S),
        lambda k, r: VotedParity(k, r + 1, wait_ms=1e3 * DELAY_S, wait_exact_ms=1e3 * DELAY_S),
        lambda k, r: VotedReplication(k, r, factor=r + 1, wait_ms=1e3 * DELAY_S),
    ],
}


class Watched(Policy):
    """Stands between a desk and a policy, and checks that everything that is done has a cause."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.k, policy.r)
        self.decodes_by(policy.needs)
        self.policy = policy
        self.replaces_queries = policy.replaces_queries
        self.allowed: Counter[tuple[str, int]] = Counter()
        self.about: tuple[Batch | Group, ...] = ()
        self.rows: set[tuple[int, int]] = set()
        self.compared: set[int] = set()
        self.cancelled: set[Work] = set()
        self.timers_s: dict[Batch, set[float]] = defaultdict(set)
        self.now_s = 0.0
        self.lately_set_s: float | None = None

    def roles(self, base_instances: int) -> list[Role]:
        return self.policy.roles(base_instances)

    def start(self, actions: object) -> None:
        super().start(actions)  # type: ignore[arg-type]
        self.policy.start(self)

    # ---- events

    def arrived(self, batch: Batch, now_s: float) -> None:
        own = self.policy.factor if isinstance(self.policy, Replication) else 1
        # A copy for idle instances, as the load allows, or a second request at once.
        spare = 1 if isinstance(self.policy, Adaptive | Laedge | Duplicates | Tied) else 0
        allowed = {(BASE, 0): own + spare}
        if isinstance(self.policy, ApproximateBackup) and not self.policy.multiplexes:
            allowed[BACKUP, 0] = 1
        self.expect({} if isinstance(self.policy, Coded) else allowed, (batch,), now_s)
        self.policy.arrived(batch, now_s)
        assert self.allowed.total() <= spare, "a batch arrived, and too little was sent"

    def placed(self, task: Work, now_s: float) -> None:
        assert task not in self.cancelled
        self.expect({}, (), now_s)
        self.policy.placed(task, now_s)
        if isinstance(self.policy, HEDGING) and self.lately_set_s is not None:
            delay_s = self.policy.hedging.lateness.delay_s
            assert delay_s is not None
            assert self.lately_set_s >= now_s + delay_s / 1.2

    def finished(self, task: Work, now_s: float) -> None:
        self.expect({}, (), now_s)
        self.policy.finished(task, now_s)

    def failed(self, task: Work, now_s: float) -> None:
        about = task.batch or task.group
        assert about is not None
        over = about.answered if isinstance(about, Batch) else about.over
        if not over and task.tries + 1 < TRIES:
            self.expect({(task.model, task.tries + 1): 1}, (about,), now_s)
        elif isinstance(self.policy, Coded) and isinstance(about, Group) and not over and self.too_few(about, task):
            self.expect_own_tasks(about, now_s)
        else:
            self.expect({}, (about,), now_s)
        self.policy.failed(task, now_s)
        assert self.allowed.total() == 0, "a task was lost and not sent again"

    def stopped(self, task: Work, now_s: float) -> None:
        self.expect({}, (), now_s)
        self.policy.stopped(task, now_s)

    def timer(self, batch: Batch, now_s: float) -> None:
        assert not batch.answered
        assert any(at_s <= now_s for at_s in self.timers_s[batch])
        tries = {task.tries for task in batch.under_way}
        group = batch.group
        if isinstance(self.policy, Coded) and group is not None and len(group.members) < self.k:
            assert group.members[0] is batch
            self.expect_own_tasks(group, now_s)
        else:
            self.expect(
                {(BASE, max(tries)): 1} if isinstance(self.policy, COPIES_ON_TIME) and tries else {}, (batch,), now_s
            )
        self.policy.timer(batch, now_s)
        if isinstance(self.policy, Coded):
            assert self.allowed.total() == 0, "a group was given up, and a query of it was not sent"

    def expired(self, batch: Batch, now_s: float) -> None:
        assert batch.answered
        self.expect({}, (), now_s)
        self.policy.expired(batch, now_s)

    def too_few(self, group: Group, lost: Work) -> bool:
        """Whether a group has lost too many answers for good with that one."""
        assert isinstance(self.policy, Coded)
        rows = zip(group.parities, group.pending, strict=True)
        there = [row for row, tasks in enumerate(rows) if any(tasks) and row != lost.row]
        return len(there) < self.policy.needed

    def expect_own_tasks(self, group: Group, now_s: float) -> None:
        waiting = tuple(batch for batch in group.members if not batch.answered)
        self.expect({(BASE, 0): len(waiting)}, waiting, now_s)

    def expect(self, allowed: dict[tuple[str, int], int], about: tuple[Batch | Group, ...], now_s: float) -> None:
        self.allowed = Counter(allowed)
        self.about = about
        self.now_s = now_s
        self.lately_set_s = None

    # ---- actions

    def dispatch(self, task: Work) -> None:
        assert task.state is State.NEW
        self.actions.dispatch(task)
        if task.batch is None and task.tries == 0:
            assert task.group is not None
            if len(task.group.members) < self.k:
                (batch,) = self.about
                assert self.policy.multiplexes, "parity queries are sent when their group is full"
                assert batch in task.group.members and self.now_s >= batch.arrived_s + self.policy.fill_s
            else:
                assert (task.group.members[-1],) == self.about, "parity queries are sent when their group is full"
            assert (task.group.number, task.row) not in self.rows
            self.rows.add((task.group.number, task.row))
            return
        assert (task.batch or task.group) in self.about
        assert self.allowed[task.model, task.tries] > 0, f"no cause for a task of {task.model}, try {task.tries}"
        self.allowed[task.model, task.tries] -= 1
        if task.batch is not None:
            copies = [other for other in task.batch.under_way if other.model == task.model]
            assert len(copies) <= self.most_copies()

    def most_copies(self) -> int:
        if isinstance(self.policy, Replication):
            return self.policy.factor
        if isinstance(self.policy, Hedged):
            return 1 + self.policy.copies
        if isinstance(self.policy, Adaptive):
            return 2 + self.policy.copies  # each of two copies that fail is sent again, whatever the other does
        return 2 if isinstance(self.policy, SharedParity | Reissue | Tied | Laedge | Duplicates) else 1

    def cancel(self, task: Work) -> None:
        assert task.state is State.QUEUED
        self.cancelled.add(task)
        self.actions.cancel(task)

    def stop(self, task: Work) -> None:
        assert task.state is State.PLACED
        self.actions.stop(task)

    def respond(self, batch: Batch, source: AnswerSource, task: Work | None) -> None:
        self.actions.respond(batch, source, task)

    @property
    def instances(self) -> int:
        return self.actions.instances

    @property
    def share(self) -> float:
        return self.actions.share

    @property
    def frontend(self) -> int:
        return self.actions.frontend

    @property
    def frontends(self) -> int:
        return self.actions.frontends

    def queues(self, role: str) -> Queues:
        return self.actions.queues(role)

    def set_timer(self, at_s: float, batch: Batch) -> None:
        assert at_s >= self.now_s
        self.lately_set_s = at_s
        self.timers_s[batch].add(at_s)
        self.actions.set_timer(at_s, batch)

    def suspects(self, group: Group) -> Collection[int]:
        """In every other group an output is wrong, each in turn."""
        assert len(group.members) == self.k and None not in (*group.own, *group.parities)
        assert group.number not in self.compared, "a group was compared twice"
        self.compared.add(group.number)
        return [group.number // 2 % (self.k + self.r)] if group.number % 2 else []

    def agree(self, task: Work, other: Work) -> bool:
        assert task.batch is other.batch and task is not other
        return task.number % 5 > 0 and other.number % 5 > 0


def filling_group(policy: Policy) -> Group | None:
    """The group that a policy is filling."""
    return policy.groups.filling if isinstance(policy, Coded | Parity | ApproximateBackup) else None


class PolicyMachine(RuleBasedStateMachine):
    """Everything that can happen to a desk with one policy."""

    def __init__(self, makers: list[Callable[[int, int], Policy]]) -> None:
        super().__init__()
        self.makers = makers
        self.hold: Driver | None = None

    @property
    def driver(self) -> Driver:
        assert self.hold is not None
        return self.hold

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        draw = data.draw
        k = draw(st.integers(2, 4), label="k")
        policy = draw(st.sampled_from(self.makers))(k, draw(st.integers(1, 2), label="r"))
        self.policy = policy
        self.watched = Watched(policy)
        self.window_s = 0.01
        self.slo_s = draw(st.sampled_from([0.1, 1e6]), label="slo_s")
        gc.disable()
        gc.freeze()  # what earlier examples left is set aside: looking for strangers need not go through it
        self.hold = Driver(
            self.watched,
            draw(st.integers(1, 4), label="base instances"),
            queues=draw(st.sampled_from([SingleQueue, RoundRobin])),
            prefetch=draw(st.integers(1, 3), label="prefetch"),
            batch_size=draw(st.integers(1, 3), label="batch size"),
            window_s=self.window_s,
            slo_s=self.slo_s,
            interrupts=draw(st.booleans(), label="interrupts"),
        )
        self.arrived_s: list[float] = []

    # ---- what can happen

    @rule(count=st.integers(1, 6))
    def arrive(self, count: int) -> None:
        self.arrived_s += [self.driver.now_s] * count
        self.driver.arrive(count)

    @precondition(lambda self: self.hold is not None and self.hold.on_instances())
    @rule(which=st.integers(0, 50), count=st.integers(1, 4))
    def finish(self, which: int, count: int) -> None:
        for _ in range(count):
            if tasks := self.driver.on_instances():
                self.driver.finish(tasks[which % len(tasks)])

    @precondition(lambda self: self.hold is not None and self.hold.on_instances())
    @rule(which=st.integers(0, 50), model=st.sampled_from(["any", "base", "backup", "parity-0"]))
    def fail(self, which: int, model: str) -> None:
        if tasks := [task for task in self.driver.on_instances() if model in ("any", task.model)]:
            self.driver.fail(tasks[which % len(tasks)])

    @precondition(lambda self: self.hold is not None and self.hold.on_instances())
    @rule(which=st.integers(0, 50))
    def fail_for_good(self, which: int) -> None:
        """A model raises on some work whenever it is tried."""
        tasks = self.driver.on_instances()
        work = tasks[which % len(tasks)]
        for _ in range(2 * TRIES):
            for task in self.driver.on_instances():
                if (task.batch, task.group, task.model) == (work.batch, work.group, work.model):
                    self.driver.fail(task)

    @precondition(lambda self: self.hold is not None and self.hold.desk.stops)
    @rule(which=st.integers(0, 50))
    def stop(self, which: int) -> None:
        stops = self.driver.desk.stops
        task = stops.pop(which % len(stops))
        if task.state is State.PLACED:
            self.driver.stop(task)

    @rule(which=st.integers(0, 50), count=st.integers(1, 3))
    def kill(self, which: int, count: int) -> None:
        instances = len(self.driver.running)
        self.driver.kill(*{(which + step) % instances for step in range(count)})

    @rule()
    def kill_all(self) -> None:
        self.driver.kill(*range(len(self.driver.running)))

    @rule(which=st.integers(0, 50))
    def come_back(self, which: int) -> None:
        self.driver.up(which % len(self.driver.running))

    @rule()
    def all_come_back(self) -> None:
        self.driver.up(*range(len(self.driver.running)))

    @rule(time_s=st.sampled_from([0.001, 0.01, DELAY_S, 0.05, 0.2]))
    def wait(self, time_s: float) -> None:
        self.driver.until(self.driver.now_s + time_s)

    @rule(count=st.integers(1, 3))
    def refuse(self, count: int) -> None:
        self.driver.refusals = count

    # ---- the end

    def teardown(self) -> None:
        if self.hold is None:
            return
        try:
            self.finish_everything()
            self.expect_answers()
            self.expect_nothing_held()
        finally:
            gc.enable()

    def finish_everything(self) -> None:
        """All instances are back, and nothing goes wrong any more."""
        driver = self.driver
        driver.refusals = 0
        driver.up(*range(len(driver.running)))
        driver.until(driver.now_s + self.window_s)
        driver.until(driver.now_s + FILL_S)
        for _ in range(100_000):
            if not (tasks := driver.on_instances()):
                break
            driver.finish(tasks[0])
        assert driver.on_instances() == []
        if isinstance(self.policy, VotedParity | VotedReplication):
            driver.until(driver.now_s + self.policy.wait_s)
        if isinstance(self.policy, Parity):
            driver.until(driver.now_s + self.policy.groups.wait_exact_s)

    def expect_answers(self) -> None:
        driver = self.driver
        filling = filling_group(self.policy)
        hopeless = [batch for batch in filling.members if batch.hopeless] if filling else []
        missing = set(range(driver.queries)) - set(driver.answers)
        assert missing <= {query for batch in hopeless for query in batch.queries}, "a query was left to its deadline"
        driver.until(driver.now_s + self.slo_s)
        assert set(driver.answers) == set(range(driver.queries))
        for query, (source, at_s) in driver.answers.items():
            if source is AnswerSource.DEFAULT:
                assert at_s >= self.arrived_s[query] + self.slo_s
            else:
                assert at_s <= self.arrived_s[query] + self.slo_s

    def expect_nothing_held(self) -> None:
        driver, desk = self.driver, self.driver.desk
        assert desk.wakes_s() == float("inf")
        driver.placed.clear()
        driver.responses.clear()
        desk.stops.clear()
        self.watched.cancelled.clear()
        self.watched.timers_s.clear()
        self.watched.about = ()
        kept: list[Work | Batch | Group] = []
        for queue in _queues(driver):
            assert len(queue) <= COMPACT
            for task in queue:
                assert task.state is State.CANCELLED
                kept += [thing for thing in (task, task.batch, task.group) if thing is not None]
        filling = filling_group(self.policy)
        if filling is not None:
            assert len(filling.members) < self.policy.k
            kept += [filling, *filling.members, *(task for task in filling.own if task is not None)]
        expected = {id(thing) for thing in kept}
        strangers = [type(thing).__name__ for thing in living() if id(thing) not in expected]
        assert strangers == []


def _queues(driver: Driver) -> list[list[Work]]:
    """What the queues of a desk hold."""
    found = []
    for queues in driver.desk._queues.values():
        if isinstance(queues, RoundRobin):
            found += [*queues.normal.values(), *queues.low.values(), queues.homeless]
        else:
            assert isinstance(queues, SingleQueue)
            found += [queues.normal, queues.low]
    return [list(queue.work) for queue in found]


@pytest.mark.parametrize("examples", [6, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("policy", POLICIES)
def test_whatever_happens_queries_are_answered_once_tasks_have_causes_and_nothing_is_kept(
    policy: str, examples: int
) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: PolicyMachine(POLICIES[policy]),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            phases=[phase for phase in Phase if phase is not Phase.explain],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
