"""A real process competes with some instances for their processor, or their GPU."""

from parity_exp.disturbances.background import Background
from parity_exp.disturbances.trace import CONTENTION


class Contention(Background):
    """Processes that keep the devices of some instances busy; nothing else is injected, the slowdown is real."""

    kind = CONTENTION
