"""A real second service shares the devices of some instances, as in ParM's evaluation (SOSP 2019, section 5)."""

from parity_exp.disturbances.background import Background
from parity_exp.disturbances.trace import TENANT


class Multitenancy(Background):
    """A light second service beside some instances; nothing else is injected, the slowdown is real."""

    kind = TENANT
