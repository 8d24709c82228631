"""How busy a policy's instances are with queries' own predictions, from what the policy sees."""

from statistics import median

WEIGHT = 0.002
"""Weight of the newest arrival in the running mean of the times between them: it follows the last thousand or so.

The first ones all have the same weight, so that the mean does not hang on the very first."""

FIRST = round(1 / WEIGHT)

FEW = 50
"""What is told of a new rate has the weight of so many arrivals."""

DURATIONS = 200
"""The typical duration is taken from so many tasks at a time; in the beginning from one, two, four and so on."""


class Busyness:
    """Running estimate of the share of the instances that the base model's work on queries takes.

    By Little's law: arrivals a second times the typical duration of a task is the number of busy instances. The typical
    duration is a median, so that a few stragglers do not make the instances look busy.

    Args:
        instances: how many there are for what arrives; of several frontends each has a share of them.

    Attributes:
        share: between 0 and 1 and, in overload, above; 0 while nothing is known.
    """

    def __init__(self, instances: float) -> None:
        self.instances = instances
        self.last_s: float | None = None
        self.gap_s = 0.0
        self.gaps = 0
        self.typical_s = 0.0
        self.durations_s: list[float] = []
        self.wanted = 1
        self.share = 0.0

    def arrived(self, now_s: float) -> None:
        """A batch has arrived."""
        if self.last_s is not None:
            self.gaps = gaps = self.gaps + 1
            weight = WEIGHT if gaps >= FIRST else 1 / gaps
            self.gap_s = gap_s = self.gap_s + (now_s - self.last_s - self.gap_s) * weight
            self.share = self.typical_s / (gap_s * self.instances) if gap_s else 0.0  # as `_change` has it
        self.last_s = now_s

    def comes_every(self, gap_s: float) -> None:
        """Batches come at another rate now, with so many seconds between them in the mean, as the latest few say."""
        self.gap_s = gap_s
        self.gaps = FEW
        self._change()

    def took(self, duration_s: float) -> None:
        """A task of the base model has taken this long."""
        durations_s = self.durations_s
        durations_s.append(duration_s)
        if len(durations_s) == self.wanted:
            self.typical_s = median(durations_s)
            durations_s.clear()
            self.wanted = min(2 * self.wanted, DURATIONS)
            self._change()

    def _change(self) -> None:
        self.share = self.typical_s / (self.gap_s * self.instances) if self.gap_s else 0.0
