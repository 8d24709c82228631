"""Straggler models: what slows, stops, corrupts or competes with instances, written down ahead of a run as a trace."""

from parity_exp.serving.stragglers.contention import Contention
from parity_exp.serving.stragglers.corrupt import Corrupt
from parity_exp.serving.stragglers.crash import Crash
from parity_exp.serving.stragglers.degraded import Degraded
from parity_exp.serving.stragglers.distribution import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    LogNormal,
    Pareto,
    Resampled,
    ShiftedExponential,
)
from parity_exp.serving.stragglers.multitenancy import Multitenancy
from parity_exp.serving.stragglers.neighbour import Neighbour
from parity_exp.serving.stragglers.replay import Replay
from parity_exp.serving.stragglers.shuffle import Shuffle
from parity_exp.serving.stragglers.slowdown import Slowdown
from parity_exp.serving.stragglers.straggler import NotThereError, Straggler, all_helpers, compose

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
    "Multitenancy",
    "Neighbour",
    "NotThereError",
    "Pareto",
    "Replay",
    "Resampled",
    "ShiftedExponential",
    "Shuffle",
    "Slowdown",
    "Straggler",
    "all_helpers",
    "compose",
]
