"""Pictures of serving: how late answers were, under which policy, why, and what clients got.

Every function returns a Matplotlib figure and leaves saving to the caller. Policies keep their colours through all
figures of a run.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from parity_exp.analysis.figures.answers import accuracy_against_slo, accuracy_against_tail, answer_sources
from parity_exp.analysis.figures.axes import QueriesByPolicy
from parity_exp.analysis.figures.latency import latency_ccdf, latency_over_time
from parity_exp.analysis.figures.timeline import instance_timeline, worst_window
from parity_exp.disturbances.trace import CLUSTER
from parity_exp.recordings.looks import Looks, baseline_among


def serving_figures(
    queries: QueriesByPolicy,
    tasks: Mapping[str, pd.DataFrame],
    trace: pd.DataFrame | None = None,
    slo_ms: float | None = None,
    instances: Mapping[str, float] | None = None,
    looks: Looks | None = None,
    overall: Mapping[str, float] | None = None,
) -> dict[str, Figure]:
    """Every picture of a serving run by the name of its file; none of a run that has recorded nothing.

    The timelines show all policies in the same window of time, so that they can be laid side by side: it is chosen
    where the first policy, the baseline if there is one, was latest.

    Args:
        queries: for each policy a row a query.
        tasks: for each policy a row a task.
        trace: the delays that were injected, as ``straggler-trace.csv`` holds them.
        slo_ms: the deadline.
        instances: for each policy how many it had, which tells its rows of the trace where clusters have several sizes.
        looks: what policies say of themselves: their colours, and which is the baseline.
        overall: of a simulation, overall accuracy by policy, as far as it is known.
    """
    served = {policy: table for policy, table in queries.items() if not table.empty}
    if not served:
        return {}
    pictures = {"latency_ccdf": latency_ccdf(served, slo_ms, looks)}
    if all("correct" in table for table in served.values()):  # of a simulation it is not known
        pictures["accuracy_against_tail"] = accuracy_against_tail(served, looks)
        pictures["accuracy_against_slo"] = accuracy_against_slo(served, slo_ms, looks)
    elif overall:
        pictures["accuracy_against_tail"] = accuracy_against_tail(served, looks, overall)
    pictures["answer_sources"] = answer_sources(served)
    pictures["latency_over_time"] = latency_over_time(served, slo_ms, looks)
    told = [policy for policy in served if policy in tasks and not tasks[policy].empty]
    if told:
        baseline = baseline_among(told, looks) or told[0]
        window = worst_window(tasks[baseline], served[baseline])
        for policy in told:
            pictures[f"instance_timeline-{policy}"] = instance_timeline(
                tasks[policy], met(trace, (instances or {}).get(policy)), served[policy], window, policy
            )
    return pictures


def met(trace: pd.DataFrame | None, instances: float | None) -> pd.DataFrame | None:
    """The rows of a trace that hold for a cluster of so many instances; where that is not known, those for all."""
    if trace is None or CLUSTER not in trace:
        return trace
    return trace[trace[CLUSTER].isna() | (trace[CLUSTER] == instances)]
