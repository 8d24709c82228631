"""Voted parity: answers are held until their group has been checked, and wrong ones are replaced."""

from parity_exp.policies.checking import FALSE_ALARM_RATE, checked_rate, refuse_incomparable
from parity_exp.policies.look import Look
from parity_exp.policies.needs import Needs
from parity_exp.policies.parity import Parity
from parity_exp.policies.parity_groups import WAIT_EXACT_MS, ParityGroups
from parity_exp.policies.policy import AnswerSource, Batch, Group, Work
from parity_exp.policies.voting import WAIT_MS, wait_s
from parity_exp.ranges import Delay, ProperShare


class VotedParity(Parity):
    """ParM that treats a wrong prediction as a lost one, and reconstructs it from the others.

    The k + r outputs of a group are a codeword of which any k determine the rest: up to r wrong ones can be noticed,
    but to tell which they are takes two outputs for each, so ``floor(r / 2)`` can be put right. Where more are wrong,
    answers go out as they are, flagged.

    Answers wait for the vote, each for ``wait_ms`` at most from when it could have been given. What then still has no
    vote goes out unchecked, so that a straggler costs no more than that; and so does a group that loses an output.

    Args:
        false_alarm_rate: how often a sound group may be taken for a wrong one.
        wait_ms: how long an answer is held at most.
        wait_exact_ms: where there is no vote by then, a reconstruction is held this much longer for the exact answer,
            as long as that is under way.

    Raises:
        ValueError: r = 1, a rate outside of (0, 1), or a negative time.
    """

    looks = (
        Look(
            "voted_parity",
            "#08306b",
            idea="Waits for r >= 2 parity outputs, and answers with what most of them agree on.",
            machines="m r / k",
            answer="approximate, where a task is late or wrong",
            weakness="every answer waits for its group",
            source="error correction of MDS codes",
        ),
    )

    flags_answers = True

    def __init__(
        self,
        k: int,
        r: int,
        false_alarm_rate: ProperShare = FALSE_ALARM_RATE,
        wait_ms: Delay = WAIT_MS,
        wait_exact_ms: Delay = WAIT_EXACT_MS,
    ) -> None:
        super().__init__(k, r)
        self.false_alarm_rate = checked_rate(false_alarm_rate)
        if r < 2:
            raise ValueError(
                "r=1: one parity output can tell that something is wrong, not what; give r=2, or use checked_parity"
            )
        self.wait_s = wait_s(wait_ms)
        self.groups = ParityGroups(k, r, "parity", keeps_parities=True, wait_exact_ms=wait_exact_ms)

    def decodes_by(self, needs: Needs) -> None:
        refuse_incomparable(needs)
        super().decodes_by(needs)

    def finished(self, work: Work, now_s: float) -> None:
        group = work.group if work.batch is None else work.batch.group
        super().finished(work, now_s)
        if group is None or group.over:
            return
        for batch, own in zip(group.members, group.own, strict=True):
            if not batch.answered and (own or self.groups.can_decode(group)):
                self.actions.set_timer(now_s + self.wait_s, batch)

    def answer(self, batch: Batch, work: Work) -> None:
        self.cancel_queued(batch)  # it has to wait for the vote

    def timer(self, batch: Batch, now_s: float) -> None:
        group = batch.group
        assert group is not None
        own = group.own[group.members.index(batch)]
        if own is not None:
            self.actions.respond(batch, AnswerSource.OWN, own)
        elif self.groups.can_decode(group):
            ripe = self.groups.ripe(group, [batch], now_s)
            if not ripe:
                return
            self.groups.reconstruct(group, ripe, None)
        self.settle(group, None, now_s)

    def settle(self, group: Group, work: Work | None, now_s: float) -> None:
        """Vote when all outputs of a group are there; with the vote, or where there can be none, answers go out."""
        if group.over or len(group.members) < self.k:
            return
        if self.groups.is_whole(group):
            self._vote(group, work)
        elif self.groups.can_be_whole(group):
            return
        for batch, own in zip(group.members, group.own, strict=True):
            if own is not None:
                self.actions.respond(batch, AnswerSource.OWN, own)
        super().settle(group, work, now_s)

    def _vote(self, group: Group, work: Work | None) -> None:
        """Take out what is wrong, as if it had never come, and answer from the rest."""
        suspects = self.actions.suspects(group)
        outvoted = [(group.members[place], group.own[place]) for place in suspects if place < self.k]
        for place in suspects:
            if place < self.k:
                group.own[place] = None
            else:
                group.parities[place - self.k] = None
        for batch, own in outvoted:
            if self.groups.can_decode(group):
                self.actions.respond(batch, AnswerSource.RECONSTRUCTED, work)
            # For elements that parity does not cover there is no other answer.
            self.actions.respond(batch, AnswerSource.OWN, own)
