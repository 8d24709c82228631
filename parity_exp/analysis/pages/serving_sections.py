"""The sections of a run's page about its serving or simulation: what clients got, what was injected, what it needs."""

from collections.abc import Sequence

from parity_exp.analysis.pages.cells import table_of
from parity_exp.analysis.pages.page import Picture, Section, Table
from parity_exp.analysis.pages.run_facts import load_sentences, straggler_rows
from parity_exp.analysis.runs.one_run import OneRun
from parity_exp.analysis.tables.capacity import capacity_table
from parity_exp.analysis.tables.serving import (
    cost_table,
    interval_table,
    percentile_table,
    written,
    wrong_answers_table,
)

CAPACITY = (
    "The fewest machines, of base and other models together, on which each policy keeps an objective, found "
    "by simulating clusters of many sizes. All sizes and policies had the same arrivals, and those with as "
    "many machines the same stragglers. An answer lies above every size that was seen to miss the objective. "
    "Answers that are the default or an error count as too late, and so do all on a cluster whose latency "
    "grew through the run.",
    "Times p50: the objective in medians of a query that nothing delays. Utilisation: the share of all "
    "machines that the queries keep busy if each is served once and nothing delays it; busy: the share of the "
    "time that they really worked.",
)

INJECTED = (
    "Policies with as many instances met the same disturbances at the same times (straggler-trace.csv), and "
    "each met what it would have met alone; one with fewer instances never meets the rows of those it lacks."
)


def capacity_section(run: OneRun, pictures: Sequence[Picture]) -> Section:
    """How many machines each policy needs, where that was planned."""
    if run.plan is None:
        return Section("capacity", "Capacity", pictures=pictures)
    return Section("capacity", "Capacity", CAPACITY, [table_of(capacity_table(run.plan), "Fewest machines")], pictures)


def serving_section(run: OneRun, pictures: Sequence[Picture]) -> Section:
    """What clients got, and what it took."""
    if not run.policies:
        return Section("serving", "Serving", pictures=pictures)
    costs, intervals = cost_table(run.policies), interval_table(run.policies)
    wrong, errors = wrong_answers_table(run.policies), run.recordings.errors
    tables = [table_of(written(percentile_table(run.policies)), "Latency, accuracy and sources of answers")]
    if not intervals.empty:
        tables.append(table_of(intervals, "Means over seeds, and half of their 95 % confidence intervals"))
    if len(costs.columns) > 1:
        tables.append(table_of(written(costs), "What it took"))
    if not wrong.empty:
        tables.append(table_of(written(wrong), "Wrong answers, and who noticed"))
    if not errors.empty:
        tables.append(table_of(errors, "What went wrong with instances and models"))
    return Section("serving", "Serving", load_sentences(run.config, run.recordings, run.metrics), tables, pictures)


def straggler_section(run: OneRun) -> Section:
    """What was injected."""
    rows = straggler_rows(run.recordings.trace)
    if not rows:
        return Section("stragglers", "Stragglers")
    columns = ("kind", "rows", "instances", "seconds in all", "factor", "mean extra ms", "greatest extra ms")
    return Section("stragglers", "Injected stragglers", [INJECTED], [Table(columns, rows)])
