"""Codes beside their rivals: how good late answers are, from trainings; how late and at what cost, from simulations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from parity_exp.recordings.metric_keys import metrics_by_policy
from parity_exp.recordings.run_directory import RunDirectory

OWN = "degraded_accuracy"
"""The metric of what a rival's own code gives back; policies with another one are rivals under their own names."""

LATE = ("reconstructed", "backup")
"""Sources of answers that are not the base model's own."""


@dataclass(frozen=True)
class Rival:
    """Where to read of one rival.

    Attributes:
        name: what it is called.
        policies: those that it was simulated with, each with the metric of the training, without ``test/``, that says
            how good what answers a late query is.
        trained: the run directory of ``train``.
        simulated: that of ``simulate``.
    """

    name: str
    policies: Mapping[str, str]
    trained: Path
    simulated: Path


def rivals_table(rivals: Sequence[Rival]) -> pd.DataFrame:
    """A row a rival and policy; ``name`` is the rival's where its own code answers, and else the policy's.

    ``degraded_accuracy`` is that of what answers late queries. ``overall_accuracy`` is
    ``A_o = (1 - f) A_a + f A_d`` with f, ``late``, the share of queries that the simulation has answered so. Latencies
    are milliseconds of the simulation, ``tasks_per_query`` is what instances were given for each query, and
    ``extra_instances`` are the machines beyond those of the base model.
    """
    rows = []
    for rival in rivals:
        tested = RunDirectory(rival.trained).read_metrics()
        simulated = metrics_by_policy(RunDirectory(rival.simulated).read_metrics())
        available = tested["test/available_accuracy"]
        for policy, metric in rival.policies.items():
            served, degraded = simulated[policy], tested[f"test/{metric}"]
            late = sum(served.get(f"fraction/{source}", 0.0) for source in LATE)
            rows.append(
                {
                    "name": rival.name if metric == OWN else policy,
                    "rival": rival.name,
                    "policy": policy,
                    "available_accuracy": available,
                    "degraded_accuracy": degraded,
                    "late": late,
                    "overall_accuracy": (1 - late) * available + late * degraded,
                    "p50_ms": served["latency_ms/p50"],
                    "p99_ms": served["latency_ms/p99"],
                    "p99.9_ms": served["latency_ms/p99.9"],
                    "tasks_per_query": served["tasks_per_query"],
                    "extra_instances": served["extra_instances"],
                }
            )
    return pd.DataFrame(rows)
