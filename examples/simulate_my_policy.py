"""Simulate a redundancy policy of one's own beside two that are there, on a hundred instances.

Run it as it is: `python examples/simulate_my_policy.py`. The same policy can be served: give it to `serve` instead.
"""

from parity_exp import simulate
from parity_exp.disturbances import Exponential, Slowdown
from parity_exp.load import Poisson
from parity_exp.policies import EqualResources, NoRedundancy, Replication


class SecondAfterAWhile(NoRedundancy):
    """A query that has no answer 30 ms after its arrival is sent once more."""

    def arrived(self, batch, now_s):
        super().arrived(batch, now_s)
        self.actions.set_timer(now_s + 0.030, batch)

    def timer(self, batch, now_s):
        if batch.tasks:  # otherwise its instance has died, and it has been sent again
            self.dispatch(batch.tasks[0].again())


result = simulate(
    [NoRedundancy, EqualResources, Replication, SecondAfterAWhile],
    Poisson(20_000, warmup=1_000, utilisation=0.4),
    straggler=Slowdown(0.05, Exponential(6.0)),
    instances=100,
    service_time_ms=20,
)
print(result)
