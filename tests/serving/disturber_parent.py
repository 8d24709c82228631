"""A process that has a disturber, for tests in which it dies: prints the helpers' numbers, then waits."""

import sys
import time

from parity_exp.disturbances.helpers import Burner
from parity_exp.disturbances.trace import Disturbance
from parity_exp.serving.disturber import Disturber

if __name__ == "__main__":
    rows = [Disturbance("contention", 0, 0, 3600), Disturbance("contention", 1, 3000, 3600)]
    disturber = Disturber(rows, ["cpu", "cpu"], [None, None], print, {"contention": Burner()})
    disturber.start()
    disturber.begin(time.monotonic())
    print(*disturber.pids, flush=True)
    sys.stdin.read()
