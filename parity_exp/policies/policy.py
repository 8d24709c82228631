"""What every redundancy policy is: a state machine that decides what is sent where and when, and what answers a query.

This file and what it names is all that a policy of your own needs. A complete one::

    from parity_exp.policies.policy import BASE, Batch, Look, Policy, Role, Work


    class Impatient(Policy):  # a query that has no answer after a while is sent to a second instance
        looks = (Look(colour="#a05a2c", idea="Sends what takes too long once more."),)

        def __init__(self, k: int, r: int, wait_ms: float = 30.0) -> None:
            super().__init__(k, r)
            self.wait_s = wait_ms / 1e3

        def roles(self, base_instances: int) -> list[Role]:
            return [Role("base", base_instances + self.extra_instances(base_instances), (BASE,))]

        def arrived(self, batch: Batch, now_s: float) -> None:
            self.dispatch(Work(BASE, "base", batch))
            self.actions.set_timer(now_s + self.wait_s, batch)

        def timer(self, batch: Batch, now_s: float) -> None:
            self.dispatch(Work(BASE, "base", batch))

A config that names the class serves and simulates it (``impatient: {_target_: my_policies.Impatient, wait_ms: 20}`` in
a YAML file of the group ``redundancy``); every argument of it but k and r is a setting.

Rules for a policy:

- No I/O, no clocks, no tensors, no random numbers. Time comes in with each event; what a policy wants done goes out
  through :class:`Actions`. So the same object runs over real processes, over a cluster, and in simulated time.
- Events come in one at a time, in the order of time. A policy may call its actions while it handles one.
- Who drives a policy (:class:`parity_exp.policies.desk.Desk`) keeps the queues and the deadlines. It places queued work
  on an instance when one is free, it never places cancelled work, and it delivers exactly one of ``finished`` and
  ``failed`` for everything that was placed; or, of what the policy has asked to ``stop``, perhaps ``stopped``.
- A policy may respond to a batch as often as it likes: only the first answer to a query counts. It must see to it
  that one comes, whatever instances do, and let go of batches and groups that are over, so that memory stays bounded.
  Garbage collection may be off, so what is over must not be part of a circle of references.
- ``roles`` is a question, asked as often as anybody likes; a run begins with ``start``, and there what a policy
  remembers begins anew. What it remembers of a batch or a group it keeps to itself, in a dictionary, say.
- What others need to know of a policy it declares: attributes of its class say what it needs and does, ``looks`` how it
  appears in reports. Nobody asks for its name or its class.

How work is cut: queries arrive and are put into batches of ``batch_size`` (1 unless chosen otherwise); a batch is what
one piece of work of a base model is done on. A coding group is k consecutive batches, encoded element by element
(Parity Models, SOSP 2019, section 4.1).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar, Protocol

from parity_exp.policies.answer_source import SOURCES, AnswerSource
from parity_exp.policies.ejection import Ejection
from parity_exp.policies.look import Look
from parity_exp.policies.needs import Needs
from parity_exp.policies.queues.board import Told
from parity_exp.policies.queues.queues import Queues
from parity_exp.policies.replay import Replay
from parity_exp.policies.role import BACKUP, BASE, MULTIPLEXED, Role, member_model, parity_model
from parity_exp.policies.work import PLACED, QUEUED, TRIES, Batch, Group, State, Work

__all__ = [
    "BACKUP",
    "BASE",
    "MULTIPLEXED",
    "SOURCES",
    "TRIES",
    "Actions",
    "AnswerSource",
    "Batch",
    "Foresee",
    "Group",
    "Look",
    "Needs",
    "Policy",
    "Queues",
    "Role",
    "Source",
    "State",
    "Task",
    "Work",
    "member_model",
    "parity_model",
]

Task = Work
"""What :class:`Work` was called in the last release."""

Source = AnswerSource
"""What :class:`AnswerSource` was called in the last release."""

OWN = AnswerSource.OWN

Foresee = Callable[[Work, Sequence[float]], list[float]]
"""When each instance would be through with work that it could begin at its time, in seconds."""


class Actions(Protocol):
    """What a policy can have done."""

    @property
    def instances(self) -> int:
        """How many instances there are, of all roles together."""

    @property
    def share(self) -> float:
        """How many of them are this frontend's, where several have as much to do; all where there is one."""

    @property
    def frontend(self) -> int:
        """Which of the frontends this is, from 0."""

    @property
    def frontends(self) -> int:
        """How many there are, each with a policy of its own; one unless chosen otherwise."""

    def dispatch(self, work: Work) -> None:
        """Queue new work for the instances of its role."""

    def cancel(self, work: Work) -> None:
        """Take work out of its queue; what an instance has already is not disturbed."""

    def stop(self, work: Work) -> None:
        """Have an instance stop at work that it was given, where instances can be interrupted; else nothing happens.

        It may be done before it hears of that. Otherwise ``stopped`` follows, and neither ``finished`` nor ``failed``.
        """

    def respond(self, batch: Batch, source: AnswerSource, work: Work | None) -> None:
        """Answer the queries of a batch that have no answer yet.

        Args:
            batch: whose queries.
            source: where the answer comes from. RECONSTRUCTED decodes what the batch's group holds now, and answers
                those of its elements that the group covers.
            work: that gave the answer, or completed what is needed for it.
        """

    def set_timer(self, at_s: float, batch: Batch) -> None:
        """Call the policy's ``timer`` at that time, unless the batch has been answered by then."""

    def queues(self, role: str) -> Queues:
        """The queues of a role, for a policy that has a say in who is given what.

        It is asked for each time that something is to be changed about them.
        """

    def leave_note(self, numbers: Sequence[float]) -> None:
        """Leave numbers for the other frontends, in place of those that were left before."""

    def notes(self) -> Sequence[Sequence[float]]:
        """What each frontend has left, this one included; those that have left nothing are missing."""

    def tell(self, numbers: Told) -> None:
        """Tell the other frontends of something that has happened, in four numbers."""

    def hear(self) -> Sequence[tuple[int, Told]]:
        """What each of the others has told since this was last asked, with its number; of each in the order of that."""

    def suspects(self, group: Group) -> Collection[int]:
        """Compare all k + r outputs of a group with each other, and put on record what contradicts the others.

        Returns:
            Which of them are wrong, as far as that can be told: i for member i's own prediction, k + j for row j.
            None in a simulation, which has no outputs.
        """

    def agree(self, work: Work, other: Work) -> bool:
        """Compare what two pieces of work of one model made of the same batch; always the same in a simulation."""


class Policy(ABC):
    """Base class of redundancy policies.

    Args:
        k: batches in a coding group.
        r: parity queries of a group; also what the extra machines of other policies are counted by.

    Attributes:
        actions: what it can have done, from ``start`` on.
    """

    looks: ClassVar[tuple[Look, ...]] = ()
    """How the policy appears in figures and reports, where its class itself says so: what a parent says is the
    parent's. Several where YAML files offer it by several names."""

    uses_groups = False
    """Whether the policy encodes and decodes."""

    multiplexes = False
    """Whether what it encodes is for a model that answers each query of a group by itself: then groups need no code of
    the run, and partly filled ones are encoded too."""

    replaces_queries = False
    """Whether what it encodes goes out in the place of the queries, and not beside them."""

    flags_answers = False
    """Whether it flags answers that may be wrong; then those that are not finite are flagged whatever it compares."""

    rests_instances = False
    """Whether it lets slow instances rest, which a queue discipline has to know how to do."""

    needs_foresight = False
    """Whether it has to know how long work will take: only a simulation can tell, which sets ``foresee``."""

    foresee: Foresee
    """Of a policy that needs foresight: tells what will be. It is there from ``start`` on."""

    needs_durations = False
    """Whether it wants to know how long instances work at tasks, also where several frontends give them some."""

    needs_replay = False
    """Whether it has its past played again, by the ``replay`` that is set before ``start``."""

    replay: Replay
    """Of a policy that needs it: plays its past again."""

    false_alarm_rate: float | None = None
    """How often a sound group may be taken for a wrong one; None for policies that do not ask for ``suspects``."""

    ejection: Ejection | None = None
    """Ejects instances that fail or are slow, whatever the policy does: the desk asks it. Set on an object."""

    actions: Actions

    _needs: Needs | None = None

    def __init__(self, k: int, r: int) -> None:
        self.k = k
        self.r = r

    # ---- what it needs

    @abstractmethod
    def roles(self, base_instances: int) -> list[Role]:
        """The instances it runs on, where ``base_instances`` would serve without redundancy; changes nothing."""

    @classmethod
    def look(cls, name: str) -> Look | None:
        """How it appears under a name of the config; None where the class says nothing of that."""
        looks: tuple[Look, ...] = cls.__dict__.get("looks", ())
        return next((look for look in looks if look.name in ("", name)), None)

    def extra_instances(self, base_instances: int) -> int:
        """The extra machines of a code: ``ceil(m r / k)`` (Parity Models, section 5.1)."""
        return -(-base_instances * self.r // self.k)

    def base_instances(self, instances: int) -> int:
        """How many of all instances would be there without the extra ones."""
        return next(m for m in range(1, instances + 1) if m + self.extra_instances(m) >= instances)

    @property
    def needs(self) -> Needs:
        """What has to be there of a group for lost predictions to come back.

        As the code has declared it; a parity output for each lost prediction where none has.
        """
        return self._needs or Needs.one_for_one(self.k, self.r)

    def decodes_by(self, needs: Needs) -> None:
        """Take note of what the code needs, before a run; policies that want more of a code refuse what gives less.

        Raises:
            ValueError: the code is none for this policy, in one line.
        """
        for name, mine, theirs in (("k", self.k, needs.k), ("r", self.r, needs.r)):
            if mine != theirs:
                raise ValueError(f"it has {name}={mine}, its code {name}={theirs}; give both the same")
        self._needs = needs

    # ---- events

    def start(self, actions: Actions) -> None:
        """Begin a run: what has been before is forgotten."""
        self.actions = actions

    @abstractmethod
    def arrived(self, batch: Batch, now_s: float) -> None:
        """A batch is there."""

    def placed(self, work: Work, now_s: float) -> None:  # noqa: B027 - most policies need not know
        """An instance was given work."""

    def finished(self, work: Work, now_s: float) -> None:
        """Work is done and has its result: answer its batch with it, unless that has an answer."""
        batch = work.batch
        assert batch is not None
        batch.under_way.remove(work)
        if not batch.answered:
            self.answer(batch, work)

    def failed(self, work: Work, now_s: float) -> None:
        """The instance that had the work died, or the model raised: try again, as long as it is of use."""
        batch = work.batch
        assert batch is not None
        batch.under_way.remove(work)
        if batch.answered:
            return
        if work.tries + 1 < TRIES:
            self.dispatch(work.again())
        elif not batch.under_way:
            batch.hopeless = True
            self.given_up(batch, work)

    def stopped(self, work: Work, now_s: float) -> None:
        """An instance has stopped at work, as the policy wanted: it has no result."""
        if work.batch is not None and work in work.batch.under_way:
            work.batch.under_way.remove(work)

    def given_up(self, batch: Batch, work: Work) -> None:
        """Nothing that would answer the batch is under way, and trying again makes no sense."""
        self.actions.respond(batch, AnswerSource.ERROR, work)

    def timer(self, batch: Batch, now_s: float) -> None:  # noqa: B027 - most policies set none
        """A timer that the policy has set is due, and the batch has no answer yet."""

    def expired(self, batch: Batch, now_s: float) -> None:
        """The deadline has passed, and all queries of the batch have got an answer: spare the work still queued."""
        self.cancel_queued(batch)
        self.stop_running(batch)

    # ---- for subclasses

    def answer(self, batch: Batch, work: Work) -> None:
        """Answer a batch with what a piece of work says, and cancel what is queued for it."""
        self.actions.respond(batch, OWN, work)
        if batch.under_way:
            self.cancel_queued(batch)
            self.stop_running(batch)

    def dispatch(self, work: Work) -> None:
        """Dispatch work that answers its batch directly."""
        batch = work.batch
        assert batch is not None
        batch.under_way.append(work)
        self.actions.dispatch(work)

    def cancel_queued(self, batch: Batch) -> None:
        """Cancel what is queued for a batch."""
        if not batch.under_way:
            return
        for work in batch.under_way:
            if work.state is not PLACED:
                break
        else:
            return
        for work in batch.under_way:
            if work.state is QUEUED:
                self.actions.cancel(work)
        batch.under_way = [work for work in batch.under_way if work.state is PLACED]

    def stop_running(self, batch: Batch) -> None:
        """Stop what instances still do for a batch that has its answer, where they can be interrupted."""
        if batch.answered:
            for work in batch.under_way:
                if work.state is PLACED:
                    self.actions.stop(work)

    def cancel_tasks(self, batch: Batch) -> None:
        """What :meth:`cancel_queued` was called in the last release."""
        self.cancel_queued(batch)
