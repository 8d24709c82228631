"""How many cores this process may use."""

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
OLD_QUOTA, OLD_PERIOD = (Path(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))


def usable_cores() -> int:
    """Cores that the system lets this process run on; in a container, no more than its quota comes to."""
    cores = len(os.sched_getaffinity(0))
    quota = _quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota() -> float | None:
    """The container's share in cores; None where there is no limit."""
    try:
        if QUOTA.is_file():
            share, period = QUOTA.read_text().split()
        else:
            share, period = OLD_QUOTA.read_text().strip(), OLD_PERIOD.read_text().strip()
        return int(share) / int(period) if int(share) > 0 else None
    except (OSError, ValueError):
        return None
