"""What has to be there of a coding group for lost predictions to come back: codes declare it, policies ask."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Needs:
    """What a code needs, as a plain value: counts, and no tensors.

    Attributes:
        k: predictions of a group.
        members: for 0, 1, ... r parity outputs that are there the fewest own predictions that have to be there beside
            them for every lost one to come back; k where nothing comes back, for then nothing may be lost. A sum has
            ``(k, k - 1, ..., k - r)``; where places are kept apart it is ``(k, 0, ..., 0)``.

    Raises:
        ValueError: counts that cannot be, such as ones that rise with more parity outputs.
    """

    k: int
    members: tuple[int, ...]

    def __post_init__(self) -> None:
        shown = ", ".join(map(str, self.members))
        counts = (self.k, *self.members, 0)
        if not self.members or any(more > fewer for fewer, more in pairwise(counts)):
            raise ValueError(
                f"members=({shown}): expected for 0, 1, ... r parity outputs the fewest own predictions that are "
                f"needed beside them, each from 0 to k={self.k} and none more than the one before"
            )

    @classmethod
    def of(cls, k: int, r: int, repairs: Callable[[int, int], Any]) -> Self:
        """The counts of a code that says whether so many losses come back from so many parity outputs.

        Args:
            k: predictions of a group.
            r: parity outputs at most.
            repairs: such as :meth:`parity_exp.coding.Decoder.repairs`.
        """
        most = [max((lost for lost in range(1, k + 1) if repairs(lost, there)), default=0) for there in range(r + 1)]
        return cls(k, tuple(k - max(most[: there + 1]) for there in range(r + 1)))  # who has more may leave some aside

    @classmethod
    def one_for_one(cls, k: int, r: int) -> Self:
        """Of codes with a parity output for each lost prediction, such as sums; what is taken unless a code says more.

        Args:
            k: predictions of a group.
            r: parity outputs at most.
        """
        return cls.of(k, r, lambda lost, there: lost <= there)

    @property
    def r(self) -> int:
        """Parity outputs at most."""
        return len(self.members) - 1

    @property
    def most_losses(self) -> int:
        """How many predictions come back when all parity outputs are there."""
        return self.k - self.members[-1]

    def suffice(self, own: int, parities: int) -> bool:
        """Whether so many own predictions and so many parity outputs give all k predictions of a group."""
        return own >= self.members[parities]


class Declares(Protocol):
    """What says what it needs: a code, or a decoder."""

    @property
    def needs(self) -> Needs:
        """What has to be there for lost predictions to come back."""
