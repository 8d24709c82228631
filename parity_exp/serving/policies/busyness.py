"""How busy a policy's instances are with queries' own predictions, from what the policy sees."""

WEIGHT = 0.005
"""Weight of the newest arrival or task in the running means: they follow the last few hundred."""


class Busyness:
    """Running estimate of the share of the instances that the base model's work on queries takes.

    By Little's law: arrivals a second times the mean duration of a task is the mean number of busy instances.

    Args:
        instances: how many there are.
    """

    def __init__(self, instances: int) -> None:
        self.instances = instances
        self.last_s: float | None = None
        self.gap_s = 0.0
        self.duration_s = 0.0

    def arrived(self, now_s: float) -> None:
        """A batch has arrived."""
        if self.last_s is not None:
            gap_s = now_s - self.last_s
            self.gap_s += (gap_s - self.gap_s) * WEIGHT if self.gap_s else gap_s
        self.last_s = now_s

    def took(self, duration_s: float) -> None:
        """A task of the base model has taken this long."""
        self.duration_s += (duration_s - self.duration_s) * WEIGHT if self.duration_s else duration_s

    @property
    def share(self) -> float:
        """Between 0 and 1 and, in overload, above; 0 while nothing is known."""
        return self.duration_s / (self.gap_s * self.instances) if self.gap_s else 0.0
