"""Checked parity: answers go out as before, and a group whose outputs contradict each other is flagged afterwards."""

from parity_exp.policies.checked_shared_parity import CheckedSharedParity
from parity_exp.policies.checking import FALSE_ALARM_RATE, checked_rate, refuse_incomparable
from parity_exp.policies.estimates.lateness import MARGIN, PERCENTILE
from parity_exp.policies.look import Look
from parity_exp.policies.needs import Needs
from parity_exp.policies.parity import Parity
from parity_exp.policies.parity_groups import WAIT_EXACT_MS, ParityGroups
from parity_exp.policies.reconstructing import RECONSTRUCT, Reconstruct
from parity_exp.ranges import Delay, Margin, Percentile, ProperShare

__all__ = ["CheckedParity", "CheckedSharedParity"]  # the second stood here in the last release


class CheckedParity(Parity):
    """ParM, whose parity outputs are also used where no prediction is missing: to see whether the predictions fit.

    No answer waits for that, but parity queries run to the end, so there is more work than in :class:`Parity`. Groups
    that lose an output for good, because its task was cancelled or failed, go unchecked.

    Args:
        false_alarm_rate: how often a sound group may be flagged.

    The others are those of :class:`Parity`.

    Raises:
        ValueError: a value outside its range.
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

    def __init__(
        self,
        k: int,
        r: int,
        false_alarm_rate: ProperShare = FALSE_ALARM_RATE,
        reconstruct: Reconstruct = RECONSTRUCT,
        delay_ms: Delay | None = None,
        percentile: Percentile = PERCENTILE,
        margin: Margin = MARGIN,
        wait_exact_ms: Delay = WAIT_EXACT_MS,
    ) -> None:
        super().__init__(k, r, reconstruct, delay_ms, percentile, margin, wait_exact_ms)
        self.false_alarm_rate = checked_rate(false_alarm_rate)
        self.groups = ParityGroups(k, r, "parity", compares=True, lateness=self.lateness, wait_exact_ms=wait_exact_ms)

    def decodes_by(self, needs: Needs) -> None:
        refuse_incomparable(needs)
        super().decodes_by(needs)
