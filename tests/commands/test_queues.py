"""What a policy asks of a queue discipline is done by it, or said that it is not."""

import pytest
from omegaconf import OmegaConf

from parity_exp.policies.queues import Queues, RoundRobin, SingleQueue
from parity_exp.simulation.simulation import Simulation
from tests.commands.simulated import simulate_seed, simulation_of
from tests.commands.test_one_world import composed


class Restless(SingleQueue):
    """A queue of a user's, of before instances could rest."""

    rest = Queues.rest  # which does nothing


def simulated(queue: str, policy: str, **changes: object) -> Simulation:
    config = composed(
        f"queue={queue}", f"redundancy=[{policy}]", "straggler=degraded", "load.slo_ms=null", "r=1"
    ).copy()
    OmegaConf.update(config, "load.queries", 3000)
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    return simulation_of(config)


@pytest.mark.parametrize("queue", [SingleQueue, RoundRobin])
def test_a_slow_instance_rests_in_every_queue(queue: type[Queues], monkeypatch: pytest.MonkeyPatch) -> None:
    name = {SingleQueue: "single", RoundRobin: "round_robin"}[queue]
    slow = {"straggler__degraded__instance": 1, "straggler__degraded__factor": 8.0}
    hedging_only = {"redundancy__adaptive__copy_limit": 0.0, "redundancy__adaptive__load_limit": 0.0}
    made = simulated(name, "adaptive", **slow, **hedging_only)
    rests, never = {}, {}
    for values in (rests, never):
        values |= simulate_seed(made, 0)
        monkeypatch.setattr(queue, "rest", lambda *_: None)
    assert rests["simulate/adaptive/latency_ms/mean"] < 0.97 * never["simulate/adaptive/latency_ms/mean"]


def test_a_queue_that_cannot_let_instances_rest_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    target = {"queue___target_": f"{__name__}.Restless"}
    simulated("single", "hedged", **target)
    simulated("single", "adaptive")
    assert caplog.messages == []
    simulated("single", "adaptive", **target)
    (line,) = caplog.messages
    assert "Restless" in line and "a part of adaptive" in line
