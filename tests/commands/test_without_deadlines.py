"""``load.slo_ms=null`` means never, under every policy that the config has."""

import pytest

from tests.commands.simulated import simulate_seed
from tests.commands.test_one_world import POLICIES, simulation


@pytest.mark.parametrize("service_ms", [20_000, 70_000, 4_000_000])
def test_tasks_of_any_length_are_measured_as_they_are(service_ms: int) -> None:
    simulated = simulation(tuple(POLICIES), "none", pool__service_time_ms=service_ms, load__queries=60)
    values = simulate_seed(simulated, 0)
    for policy in POLICIES:
        assert values[f"simulate/{policy}/fraction/default"] == values[f"simulate/{policy}/lost"] == 0
        if policy != "approximate_backup":
            assert values[f"simulate/{policy}/latency_ms/p50"] >= service_ms
        assert values[f"simulate/{policy}/latency_ms/p99.9"] > service_ms
