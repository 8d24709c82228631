"""Serving in simulated time: the policies and the desk that serve real instances, over a heap of events.

::

    from parity_exp.policies import Parity
    from parity_exp.disturbances import Exponential
    from parity_exp.simulation import ServiceTimes, simulate

    arrivals_s = np.cumsum(np.random.default_rng(0).exponential(0.008, 100_000))
    service = ServiceTimes({"base": Exponential(0.02), "parity-0": Exponential(0.02)})
    outcome = simulate(Parity(k=2, r=1), arrivals_s, service, base_instances=4)
    np.quantile(outcome.latency_ms, 0.999)
"""

from parity_exp.simulation.cluster import Service, simulate
from parity_exp.simulation.confidence import over_seeds
from parity_exp.simulation.drawn_ahead import DrawnAhead, DrawnForTasks
from parity_exp.simulation.foresight import Foresight
from parity_exp.simulation.measured_times import MeasuredTimes, measured_times
from parity_exp.simulation.outcome import Outcome
from parity_exp.simulation.random_times import Scaled, ServiceTimes

__all__ = [
    "DrawnAhead",
    "DrawnForTasks",
    "Foresight",
    "MeasuredTimes",
    "Outcome",
    "Scaled",
    "Service",
    "ServiceTimes",
    "measured_times",
    "over_seeds",
    "simulate",
]
