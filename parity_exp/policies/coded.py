"""Coded: queries wait until k are there, n coded ones go to copies of the base model, and n - S answers tell all.

For non-systematic codes, such as ApproxIFER (AAAI 2022, arXiv 2109.09868) and NeRCC (arXiv 2402.04377). A group costs
n tasks instead of k, whatever happens.
"""

from collections.abc import Sequence

from parity_exp.policies.grouping import Grouping
from parity_exp.policies.look import Look
from parity_exp.policies.policy import BASE, Actions, AnswerSource, Batch, Group, Policy, Role, Work
from parity_exp.ranges import Delay


class Coded(Policy):
    """Copies of the base model, and no query on its own but for those of groups that do not fill.

    A group is k consecutive batches, encoded element by element; in batches of different sizes the last query of a
    shorter one stands in for what it lacks, so that every query is covered. With the n - S-th answer all k predictions
    are decoded, and coded queries that are still queued are cancelled.

    A group that has not filled in time is given up, and its queries are sent as they are: fewer tasks than n, and the
    base model's own answers, but nothing that helps against a straggler among them. The same is done with a group that
    has lost too many answers for good, so that a query which no instance can answer takes no other with it.

    Args:
        k: batches in a group.
        r: what the extra machines of other policies are counted by.
        order: the n coded queries of a group in the order in which they are sent: of equally quick instances' answers,
            nobody waits for those of the last.
        needed: n - S, answers that decode a group.
        fill_ms: a group that has not filled this long after its first batch is given up.
        anytime_ms: a full group is decoded this long after its first batch from whatever answers are there, one at
            least; None waits for as many as decode it well.
        equal_resources: true for ``m + ceil(m r / k)`` instances, as other policies have; where n - k is more than r,
            each of them has more to do than a base instance would. False for ``ceil(m n / k)``, on which it has the
            same.

    Raises:
        ValueError: a value outside its range.
    """

    looks = (
        Look("coded", "#56b4e9"),
        Look(
            "berrut",
            "#332288",
            idea="Copies of the base model see n mixtures of k queries; any n - S answers give all predictions "
            "by rational interpolation. No training.",
            machines="m (n - k) / k",
            answer="every answer is approximate",
            weakness="the group has to fill first, and nothing is exact",
            source="ApproxIFER, AAAI 2022",
        ),
        Look(
            "nercc",
            "#b8a000",
            idea="The same with smoothing splines, whose stiffness is chosen on validation data.",
            machines="m (n - k) / k",
            answer="every answer is approximate",
            weakness="as for berrut",
            source="NeRCC, arXiv 2402.04377; LeTCC, NeurIPS 2024",
        ),
        Look(
            "barycentric",
            "#44aa99",
            idea="The same with rational functions that any number of answers determines: what is there answers when "
            "time is up.",
            machines="m (n - k) / k",
            answer="every answer is approximate, the more so the fewer answers are there",
            weakness="as for berrut",
            source="after arXiv 2509.09435; Floater and Hormann, 2007",
        ),
        Look(
            "b_spline",
            "#999933",
            idea="The same with B-splines, least squares in decoding.",
            machines="m (n - k) / k",
            answer="every answer is approximate",
            weakness="as for berrut",
            source="after arXiv 2601.10616",
        ),
    )

    uses_groups = True
    replaces_queries = True

    def __init__(
        self,
        k: int,
        r: int,
        order: Sequence[int],
        needed: int,
        fill_ms: Delay = 50,
        equal_resources: bool = True,
        anytime_ms: Delay | None = None,
    ) -> None:
        super().__init__(k, r)
        for name, time_ms in (("fill_ms", fill_ms), ("anytime_ms", anytime_ms)):
            if time_ms is not None and time_ms < 0:
                raise ValueError(f"{name}={time_ms}: expected a time of 0 or more")
        self.anytime_s = None if anytime_ms is None else anytime_ms / 1e3
        self.order = tuple(order)
        self.workers = len(self.order)
        self.needed = needed
        self.fill_s = fill_ms / 1e3
        self.equal_resources = equal_resources
        self.groups = Grouping(k, self.workers)

    def roles(self, base_instances: int) -> list[Role]:
        if self.equal_resources:
            return [Role("base", base_instances + self.extra_instances(base_instances), (BASE,))]
        return [Role("base", -(-base_instances * self.workers // self.k), (BASE,))]

    # ---- events

    def start(self, actions: Actions) -> None:
        super().start(actions)
        self.groups.start(self)

    def arrived(self, batch: Batch, now_s: float) -> None:
        if self.groups.filling is None:
            self.actions.set_timer(now_s + self.fill_s, batch)
        group = self.groups.join(batch)
        if self.groups.filling is None:
            self._encode(group)

    def timer(self, batch: Batch, now_s: float) -> None:
        group = batch.group
        if group is None:
            return
        if group is not self.groups.filling:
            self._decode(group, None, now_s)
        elif group.members[0] is batch:
            self._send_plain(group)

    def finished(self, work: Work, now_s: float) -> None:
        if work.group is None:
            super().finished(work, now_s)
            return
        group = self.groups.keep(work)
        if group is not None:
            self._decode(group, work, now_s)

    def failed(self, work: Work, now_s: float) -> None:
        if work.group is None:
            super().failed(work, now_s)
            return
        group = self.groups.try_again(work)
        if group is not None and sum(one is not None for one in (*group.parities, *group.pending)) < self.needed:
            self._send_plain(group)

    def expired(self, batch: Batch, now_s: float) -> None:
        super().expired(batch, now_s)
        group = batch.group
        if group is not None and all(member.answered for member in group.members):
            self.groups.end(group)

    # ---- groups

    def _encode(self, group: Group) -> None:
        group.elements = max(map(len, group.members))
        for row in self.order:
            self.groups.send(group, Work(BASE, "base", group=group, row=row))
        if self.anytime_s is not None:
            for batch in group.members:  # a timer is that of a batch without an answer, which any of them may be
                self.actions.set_timer(group.members[0].arrived_s + self.anytime_s, batch)

    def _decode(self, group: Group, work: Work | None, now_s: float) -> None:
        """Decode a full group, if as many answers are there as it needs, or its time is up and one is there."""
        there = self.workers - group.parities.count(None)
        time_is_up = self.anytime_s is not None and now_s >= group.members[0].arrived_s + self.anytime_s
        if there >= self.needed or (time_is_up and there):
            for batch in list(group.members):
                self.actions.respond(batch, AnswerSource.RECONSTRUCTED, work)
            self.groups.end(group)

    def _send_plain(self, group: Group) -> None:
        """Give up a group, and send each of its queries that has no answer as it is."""
        waiting = [batch for batch in group.members if not batch.answered]
        self.groups.end(group)
        for batch in waiting:
            self.dispatch(Work(BASE, "base", batch))
