"""Checked shared parity: shared parity that flags groups whose outputs contradict each other."""

from parity_exp.policies.budget import TOKEN_RATIO
from parity_exp.policies.checking import FALSE_ALARM_RATE, checked_rate, refuse_incomparable
from parity_exp.policies.estimates.lateness import MARGIN, PERCENTILE
from parity_exp.policies.hedging import IDLE_MARGIN
from parity_exp.policies.look import Look
from parity_exp.policies.needs import Needs
from parity_exp.policies.parity_groups import WAIT_EXACT_MS, ParityGroups
from parity_exp.policies.reconstructing import RECONSTRUCT, Reconstruct
from parity_exp.policies.shared_parity import LOAD_LIMIT, RESERVE, SharedParity
from parity_exp.ranges import Delay, Factor, Instance, Loads, Margin, Percentile, ProperShare, Share


class CheckedSharedParity(SharedParity):
    """What :class:`CheckedParity` does, on idle time: groups are checked as far as that allows.

    No answer waits for that, but parity queries that were sent run to the end.

    Args:
        false_alarm_rate: how often a sound group may be flagged.

    The others are those of :class:`SharedParity`.

    Raises:
        ValueError: a value outside its range.
    """

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

    flags_answers = True

    def __init__(
        self,
        k: int,
        r: int,
        false_alarm_rate: ProperShare = FALSE_ALARM_RATE,
        load_limit: Loads = LOAD_LIMIT,
        reserve: Instance = RESERVE,
        delay_ms: Delay | None = None,
        percentile: Percentile = PERCENTILE,
        margin: Margin = MARGIN,
        idle_margin: Margin = IDLE_MARGIN,
        reconstruct: Reconstruct = RECONSTRUCT,
        wait_exact_ms: Delay = WAIT_EXACT_MS,
        max_extra: Share | None = None,
        tokens: Factor | None = None,
        token_ratio: Factor = TOKEN_RATIO,
        sends_parity: bool = True,
        hedges: bool = True,
        offers_early: bool = True,
        goes_first: bool = True,
    ) -> None:
        super().__init__(
            k, r, load_limit, reserve, delay_ms, percentile, margin, idle_margin, reconstruct, wait_exact_ms,
            max_extra, tokens, token_ratio, sends_parity, hedges, offers_early, goes_first,
        )  # fmt: skip
        self.false_alarm_rate = checked_rate(false_alarm_rate)
        lateness = self.groups.lateness
        self.groups = ParityGroups(
            k, r, self.base_role, idle_only=True, compares=True, lateness=lateness, wait_exact_ms=wait_exact_ms
        )

    def decodes_by(self, needs: Needs) -> None:
        refuse_incomparable(needs)
        super().decodes_by(needs)
