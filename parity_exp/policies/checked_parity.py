"""Checked parity: answers go out as before, and a group whose outputs contradict each other is flagged afterwards."""

from typing import Any

from parity_exp.policies.look import Look
from parity_exp.policies.parity import Parity
from parity_exp.policies.policy import Group
from parity_exp.policies.shared_parity import SharedParity
from parity_exp.ranges import Delay, Instance, Loads, Margin, Percentile, ProperShare


class CheckedParity(Parity):
    """ParM, whose parity outputs are also used where no prediction is missing: to see whether the predictions fit.

    No answer waits for that, but parity queries run to the end, so there is more work than in :class:`Parity`. Groups
    that lose an output for good, because its task was cancelled or failed, go unchecked.

    Args:
        false_alarm_rate: how often a sound group may be flagged.

    Raises:
        ValueError: a rate outside of (0, 1).
    """

    looks = (
        Look(
            "checked_parity",
            "#6baed6",
            idea="ParM that also compares: own predictions that do not fit the parity output are flagged.",
            machines="m r / k",
            answer="approximate, where a task is late",
            weakness="says that an answer is wrong after it has gone out",
            source="error detection of MDS codes",
        ),
    )

    flags_answers = True

    def __init__(self, k: int, r: int, false_alarm_rate: ProperShare = 0.01, **options: Any) -> None:
        super().__init__(k, r, **options)
        if not 0 < false_alarm_rate < 1:
            raise ValueError(f"false_alarm_rate={false_alarm_rate}: expected a share between 0 and 1")
        self.false_alarm_rate = false_alarm_rate

    def _end(self, group: Group) -> None:
        if not group.checked:
            if self._is_whole(group):
                group.checked = True
                self.actions.suspects(group)
            elif self._can_be_whole(group):
                return
        super()._end(group)

    def _drop_queued(self, group: Group) -> None:
        if group.over:  # until then, what cannot help any more can still tell
            super()._drop_queued(group)

    def _is_whole(self, group: Group) -> bool:
        """All outputs are there."""
        return None not in group.own and None not in group.parities

    def _can_be_whole(self, group: Group) -> bool:
        """All outputs are there or under way."""
        own = all(own or batch.tasks for own, batch in zip(group.own, group.members, strict=True))
        return own and all(done or task for done, task in zip(group.parities, group.pending, strict=True))


class CheckedSharedParity(CheckedParity, SharedParity):
    """The same for :class:`SharedParity`, with its settings: what idle time allows is checked."""

    looks = (
        Look(
            "checked_shared_parity",
            "#66c2a5",
            idea="The same on a shared pool: groups are checked while there is time for parity.",
            machines="m r / k",
            answer="exact or approximate, whichever is first",
            weakness="checks fewer groups the higher the load",
            source="error detection of MDS codes",
        ),
    )

    def __init__(
        self,
        k: int,
        r: int,
        false_alarm_rate: ProperShare = 0.01,
        load_limit: Loads = 0.52,
        reserve: Instance = 1,
        delay_ms: Delay | None = None,
        percentile: Percentile = 90,
        margin: Margin = 1.2,
        idle_margin: Margin = 1.05,
    ) -> None:
        shared = {"load_limit": load_limit, "reserve": reserve, "delay_ms": delay_ms, "percentile": percentile}
        super().__init__(k, r, false_alarm_rate, **shared, margin=margin, idle_margin=idle_margin)
