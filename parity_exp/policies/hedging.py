"""Hedging: what is late is sent again."""

from collections.abc import Collection

from parity_exp.policies.budget import Budget
from parity_exp.policies.estimates.lateness import Lateness
from parity_exp.policies.policy import Policy
from parity_exp.policies.role import BASE
from parity_exp.policies.work import QUEUED, TRIES, Batch, Work

IDLE_MARGIN = 1.05
"""Unless a policy is told otherwise: factor on the percentile for copies that only idle instances take."""


class Hedging:
    """Tells a policy when a query is late, and sends its copies.

    The clock of a query starts when an instance is given it: a copy of what is still queued would only queue as well. A
    copy of what has failed before inherits its tries, and a last try is not copied: a query that no instance can answer
    is not tried for ever.

    Args:
        role: of the instances that copies go to.
        delay_ms: late after this time; None takes a running percentile.
        percentile: of the durations of recent work.
        margin: factor on the percentile.
        idle_margin: the same for copies that only idle instances take, at most ``margin``; None: there are none.
        budget: how many copies there may be; None: any number.

    Attributes:
        lateness: knows the delay.
        budget: how many copies there may be.
        early: the share of the delay after which a copy is offered to idle instances.

    Raises:
        ValueError: a value outside its range.
    """

    def __init__(
        self,
        role: str,
        delay_ms: float | None,
        percentile: float,
        margin: float,
        idle_margin: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        if idle_margin is not None and not 1 <= idle_margin <= margin:
            raise ValueError(f"idle_margin={idle_margin}: expected a number from 1 to margin={margin}")
        self.role = role
        self.lateness = Lateness(delay_ms, percentile, margin)
        self.budget = budget or Budget()
        self.early = 1.0 if idle_margin is None else idle_margin / margin

    def start(self, policy: Policy) -> None:
        """Begin a run of a policy."""
        self._policy = policy
        self.lateness.forget()
        self.budget.start()

    def took(self, duration_s: float) -> None:
        """A piece of work is done that took this long."""
        self.lateness.took(duration_s)
        if self.budget.tokens is not None:
            self.budget.succeeded()

    def go_on_from(self, before: "Hedging", policy: Policy) -> None:
        """Do for a policy what another one has done so far, and know what it knows."""
        self._policy = policy
        self.lateness.go_on_from(before.lateness)
        self.budget.start()

    def placed(self, work: Work, now_s: float) -> None:
        """An instance was given work: set a timer for when it is late, or for a copy that is offered earlier."""
        delay_s = self.lateness.delay_s
        batch = work.batch
        if batch is not None and not batch.answered and delay_s is not None:
            self._policy.actions.set_timer(now_s + self.early * delay_s, batch)

    def may_copy(self, batch: Batch, now_s: float) -> bool:
        """Whether what is under way for a batch, one piece of work at least, is not its last try and may be copied."""
        return batch.tries + 1 < TRIES and self.budget.allows(now_s)

    def copy(self, batch: Batch, low: bool = False, urgent: bool = False) -> None:
        """Send what a batch has under way, one piece of work at least, once more."""
        self.budget.spend()
        self._policy.dispatch(Work(BASE, self.role, batch, tries=batch.tries, low=low, urgent=urgent))

    def offer_or_send(self, batch: Batch, since_s: float, others: Collection[Work], now_s: float, urgent: bool) -> None:
        """Send a copy of what may be late: first for an idle instance to take, then in earnest.

        Args:
            batch: that has no answer.
            since_s: when an instance was given what may be late.
            others: what else is under way for the batch and counts as its copies.
            now_s: the time.
            urgent: a copy in earnest goes to the head of the queue.
        """
        assert self.lateness.delay_s is not None
        if batch.tries + 1 >= TRIES:
            return
        late_s = since_s + self.lateness.delay_s
        if now_s < late_s:
            if not others and self.may_copy(batch, now_s):
                self.copy(batch, low=True)
            self._policy.actions.set_timer(late_s, batch)
        elif others and all(copy.low and copy.state is QUEUED for copy in others):
            # No instance has been idle since: now it is a query's turn. What it costs has been paid.
            tries = batch.tries
            self._policy.cancel_queued(batch)
            self._policy.dispatch(Work(BASE, self.role, batch, tries=tries, urgent=urgent))
        elif not others and self.may_copy(batch, now_s):
            self.copy(batch, urgent=urgent)
