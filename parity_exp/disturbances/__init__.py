"""Straggler models: what slows, stops, corrupts or competes with instances, written down ahead of a run as a trace."""

from parity_exp.disturbances.contention import Contention
from parity_exp.disturbances.corrupt import Corrupt
from parity_exp.disturbances.crash import Crash
from parity_exp.disturbances.degraded import Degraded
from parity_exp.disturbances.distribution import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    LogNormal,
    Pareto,
    Resampled,
    ShiftedExponential,
)
from parity_exp.disturbances.machine_trace import MachineTrace
from parity_exp.disturbances.multitenancy import Multitenancy
from parity_exp.disturbances.neighbour import Neighbour
from parity_exp.disturbances.phases import Phases
from parity_exp.disturbances.replay import Replay
from parity_exp.disturbances.resize import Resize
from parity_exp.disturbances.shuffle import Shuffle
from parity_exp.disturbances.slowdown import Slowdown
from parity_exp.disturbances.straggler import NotThereError, Straggler, all_helpers, compose

__all__ = [
    "Constant",
    "Contention",
    "Corrupt",
    "Crash",
    "Degraded",
    "Distribution",
    "Empirical",
    "Exponential",
    "LogNormal",
    "MachineTrace",
    "Multitenancy",
    "Neighbour",
    "NotThereError",
    "Pareto",
    "Phases",
    "Replay",
    "Resampled",
    "Resize",
    "ShiftedExponential",
    "Shuffle",
    "Slowdown",
    "Straggler",
    "all_helpers",
    "compose",
]
