"""What happens is read from a file: one that an earlier run has left, or one that was measured elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from parity_exp.checks import SettingError
from parity_exp.disturbances.helpers.helper import Helper
from parity_exp.disturbances.straggler import Straggler
from parity_exp.disturbances.timeline import FAULTS
from parity_exp.disturbances.trace import CONTENTION, GONE, KILL, SLOW, TENANT, Disturbance, read_trace
from parity_exp.disturbances.worlds import world_of
from parity_exp.ranges import Text


class Replay(Straggler):
    """The rows of a CSV file, as they stand, for as long as the file goes.

    Args:
        path: the file; :func:`~parity_exp.disturbances.trace.read_trace` says what is in it.
        contention: what processes of rows of kind ``contention`` do.
        tenant: what processes of rows of kind ``tenant`` do.
    """

    def __init__(self, path: Text | Path | None, contention: Helper, tenant: Helper) -> None:
        if path is None:
            raise SettingError(
                "{path}={null}: expected a CSV file with the columns instance, start_s, end_s and "
                "factor or extra_ms, such as the straggler-trace.csv of a run directory"
            )
        self.path = path
        self.processes = {CONTENTION: contention, TENANT: tenant}
        # Read now, so that a bad file is refused before anything has started.
        self.rows = read_trace(path, (SLOW, KILL, GONE, *self.processes, *FAULTS))

    def named(self) -> Sequence[Disturbance]:
        return self.rows

    def trace(
        self, instances: int, duration_s: float, random: np.random.Generator, service_s: float
    ) -> list[Disturbance]:
        return world_of(self.rows, instances)

    def helpers(self) -> Mapping[str, Helper]:
        return self.processes
