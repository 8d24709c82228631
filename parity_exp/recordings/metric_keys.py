"""Keys of ``metrics.json`` that are of a policy: ``serve/<policy>/<name>``, ``simulate/<policy>/<name>``."""

from collections.abc import Mapping

PREFIX = "serve"
SIMULATED = "simulate"
PLANNED = "plan"


def prefix_of(metrics: Mapping[str, float]) -> str:
    """What the metrics of policies begin with: ``simulate`` for a simulation, else ``serve``."""
    return SIMULATED if any(key.startswith(f"{SIMULATED}/") for key in metrics) else PREFIX


def metrics_by_policy(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Split ``serve/<policy>/<name>``, or ``simulate/...``, by policy; names as ``serving_metrics`` gives them.

    Policies come in the order of the run.
    """
    prefix = prefix_of(metrics)
    policies: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        command, _, rest = key.partition("/")
        policy, _, name = rest.partition("/")
        if command == prefix and name:
            policies.setdefault(policy, {})[name] = value
    return {policy: values for policy, values in policies.items() if "queries" in values}
