"""What is served, how often, on what and under what: what real serving and a simulation share.

Policies, loads and stragglers go in as objects; what comes out of both is a :class:`ServingResult`.
"""

from parity_exp.scenario.result import ServingResult
from parity_exp.scenario.scenario import DAY_S, Draw, Scenario

__all__ = ["DAY_S", "Draw", "Scenario", "ServingResult"]
