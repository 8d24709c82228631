"""What a frontend has spent on its answers; that of several adds up."""

from dataclasses import dataclass, field
from statistics import median

from parity_exp.recordings.costs import Given


@dataclass
class Spent:
    """What answering has taken, warm-up included.

    Attributes:
        given: how many queries instances were given.
        answered: clients' queries that have an answer.
        cpu_s: the frontend's time on a processor.
        stopped: tasks that instances have stopped at.
        stopping_s: of the latest of them, the time from the order until the frontend heard of it.
        stopped_in_vain: tasks that were done before the order came.
        encode_s: how long each encoding took.
        decode_s: how long each decoding took.
        check_s: how long each comparison of a group's outputs took.
    """

    given: Given = field(default_factory=Given)
    answered: int = 0
    cpu_s: float = 0.0
    stopped: int = 0
    stopping_s: list[float] = field(default_factory=list)
    stopped_in_vain: int = 0
    encode_s: list[float] = field(default_factory=list)
    decode_s: list[float] = field(default_factory=list)
    check_s: list[float] = field(default_factory=list)

    def add(self, other: "Spent") -> None:
        """Take what another frontend has spent into the sum."""
        self.given = Given(
            self.given.first + other.given.first,
            self.given.parity + other.given.parity,
            self.given.repeated + other.given.repeated,
        )
        self.answered += other.answered
        self.cpu_s += other.cpu_s
        self.stopped += other.stopped
        self.stopped_in_vain += other.stopped_in_vain
        self.stopping_s = self.stopping_s + other.stopping_s
        self.encode_s = self.encode_s + other.encode_s
        self.decode_s = self.decode_s + other.decode_s
        self.check_s = self.check_s + other.check_s

    @property
    def own_us(self) -> float:
        """The frontend's time on a processor for each query, in microseconds."""
        return self.cpu_s / max(self.answered, 1) * 1e6

    def costs(self, instead: bool, interrupts: bool) -> dict[str, float]:
        """``frontend_us``, what instances were given, and what stopping took where instances can be told to.

        Args:
            instead: coded queries go out in the place of clients' queries.
            interrupts: instances can be told to stop.
        """
        costs = {"frontend_us": self.own_us}
        costs |= self.given.costs(self.answered, instead)
        if interrupts:
            costs |= {"stopped_tasks": self.stopped, "stopped_in_vain": self.stopped_in_vain}
        if self.stopping_s:
            costs["stop_us"] = median(self.stopping_s) * 1e6
        return costs

    def times(self) -> dict[str, float]:
        """Of encoding and decoding: medians in microseconds, and sums in seconds; nothing of what never happened."""
        times = {name: values for name, values in (("encode", self.encode_s), ("decode", self.decode_s)) if values}
        medians = {f"{name}_us": median(values) * 1e6 for name, values in times.items()}
        return medians | {f"{name}_s": sum(values) for name, values in times.items()}
