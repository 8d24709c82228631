"""When an instance that died is started again, and when it is given up."""

from dataclasses import dataclass

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
LEAST_CYCLE_S = 0.5


@dataclass
class Restarts:
    """Counts the failures in a row of one instance.

    A process fails when it dies before it has finished a task: while it loads, or with a task in hand. A process
    that finished a task has shown that the instance works, and the count begins anew; so an instance that is killed
    every second, but works in between, is never given up. A process that dies idle has shown nothing: the count stays.

    Args:
        max_failures: failures in a row after which the instance is given up.
    """

    max_failures: int
    failures: int = 0

    def delay_s(self, lived_s: float, worked: bool, failed: bool) -> float | None:
        """Say what follows a death.

        Args:
            lived_s: seconds from the start of the process to its death.
            worked: it finished a task.
            failed: it died of itself, while it loaded or had a task.

        Returns:
            Seconds until the next start, or None when the instance is given up.
        """
        if worked:
            self.failures = 0
            return 0.0
        if failed:
            self.failures += 1
        if self.failures >= self.max_failures:
            return None
        # One that dies over and over without work must not keep a core busy with starting it.
        delay_s = max(0.0, LEAST_CYCLE_S - lived_s)
        if self.failures > 1:
            delay_s = max(delay_s, min(FIRST_DELAY_S * 2 ** (self.failures - 2), LONGEST_DELAY_S))
        return delay_s
