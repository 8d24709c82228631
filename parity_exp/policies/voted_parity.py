"""Voted parity: answers are held until their group has been checked, and wrong ones are replaced."""

from parity_exp.policies.checked_parity import CheckedParity
from parity_exp.policies.look import Look
from parity_exp.policies.policy import Batch, Group, Source, Task
from parity_exp.ranges import Delay, ProperShare


class VotedParity(CheckedParity):
    """ParM that treats a wrong prediction as a lost one, and reconstructs it from the others.

    The k + r outputs of a group are a codeword of which any k determine the rest: up to r wrong ones can be noticed,
    but to tell which they are takes two outputs for each, so ``floor(r / 2)`` can be put right. Where more are wrong,
    answers go out as they are, flagged.

    Answers wait for the vote, each for ``wait_ms`` at most from when it could have been given. What then still has no
    vote goes out unchecked, so that a straggler costs no more than that; and so does a group that loses an output.

    Args:
        false_alarm_rate: how often a sound group may be taken for a wrong one.
        wait_ms: how long an answer is held at most.

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

    def __init__(self, k: int, r: int, false_alarm_rate: ProperShare = 0.01, wait_ms: Delay = 50.0) -> None:
        super().__init__(k, r, false_alarm_rate)
        if r < 2:
            raise ValueError(
                "r=1: one parity output can tell that something is wrong, not what; give r=2, or use checked_parity"
            )
        if wait_ms < 0:
            raise ValueError(f"wait_ms={wait_ms}: expected a time of 0 or more")
        self.wait_s = wait_ms / 1e3

    def finished(self, task: Task, now_s: float) -> None:
        group = task.group if task.batch is None else task.batch.group
        super().finished(task, now_s)
        if group is None or group.over:
            return
        for batch, own in zip(group.members, group.own, strict=True):
            if not batch.answered and (own or self._can_decode(group)):
                self.actions.set_timer(now_s + self.wait_s, batch)

    def answer(self, batch: Batch, task: Task) -> None:
        self.cancel_tasks(batch)  # it has to wait for the vote

    def timer(self, batch: Batch, now_s: float) -> None:
        group = batch.group
        assert group is not None
        own = group.own[group.members.index(batch)]
        if own is not None:
            self.actions.respond(batch, Source.OWN, own)
        elif self._can_decode(group):
            self._reconstruct(group, [batch], None)
        self._advance(group, None)

    def _advance(self, group: Group, task: Task | None) -> None:
        if group.over or len(group.members) < self.k:
            return
        if self._is_whole(group) and not group.checked:
            group.checked = True
            self._vote(group, task)
        if group.checked or not self._can_be_whole(group):
            for batch, own in zip(group.members, group.own, strict=True):
                if own is not None:
                    self.actions.respond(batch, Source.OWN, own)
            super()._advance(group, task)

    def _vote(self, group: Group, task: Task | None) -> None:
        """Take out what is wrong, as if it had never come, and answer from the rest."""
        suspects = self.actions.suspects(group)
        outvoted = [(group.members[place], group.own[place]) for place in suspects if place < self.k]
        for place in suspects:
            if place < self.k:
                group.own[place] = None
            else:
                group.parities[place - self.k] = None
        for batch, own in outvoted:
            self.actions.respond(batch, Source.RECONSTRUCTED, task)
            # For elements that parity does not cover there is no other answer.
            self.actions.respond(batch, Source.OWN, own)

    def _can_decode(self, group: Group) -> bool:
        return len(group.members) == self.k and group.own.count(None) <= self.r - group.parities.count(None)
