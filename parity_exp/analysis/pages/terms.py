"""The words of reports, each with one meaning on all pages."""

from collections.abc import Sequence

from parity_exp.analysis.pages.page import Table

TERMS = {
    "latency": "from a query's scheduled arrival to its answer; a stalled frontend cannot hide",
    "p99.9": "the latency that 99.9 % of the queries did not exceed; an observed value, nothing is interpolated",
    "gap": "p99.9 - p50",
    "available accuracy": "of the base model's own predictions",
    "degraded accuracy": "of reconstructed predictions, averaged over which prediction of a group is lost",
    "reconstruction accuracy": "share of reconstructed predictions that agree with the base model's own",
    "IoU": "area that two boxes share over the area that they cover; a box is right from 0.75 on",
    "overall accuracy, IoU": "(1 - f) x available + f x degraded, f the fraction of predictions unavailable",
    "accuracy (serving)": "of the answers that clients got, whatever their source",
    "corrupted": "answers that went out with an output in them that was spoilt on purpose",
    "unnoticed": "corrupted answers that no policy has flagged",
    "detected, false alarms": (
        "of the comparisons of a group's (or of two copies') outputs with a corrupted one among them, and of those "
        "without, the share that found a contradiction"
    ),
    "lost": "queries that were sent and never answered; must be 0",
    "± after a mean": "standard deviation over runs that differ by their seeds alone",
    "variant": "config values by which runs with the same code differ, seeds aside",
    "setting": "config values of stragglers, pool and load by which serving runs differ",
    "rebuilt, backup, default": "share of answers that were reconstructed, a backup's, or the default at the deadline",
    "extra instances": "instances that a policy has beside the base instances",
    "tasks a query": "tasks that instances were given for each query, parity queries and copies included",
}

OF_A_RUN = (
    "latency", "p99.9", "gap", "available accuracy", "degraded accuracy", "reconstruction accuracy", "IoU",
    "overall accuracy, IoU", "accuracy (serving)", "corrupted", "unnoticed", "detected, false alarms", "lost",
)  # fmt: skip

OF_A_COMPARISON = (
    "available accuracy", "degraded accuracy", "reconstruction accuracy", "± after a mean", "variant", "setting", "gap",
    "rebuilt, backup, default", "extra instances", "tasks a query",
)  # fmt: skip


def terms(some: Sequence[str], title: str = "") -> Table:
    """A table of some of the words, with their meanings."""
    return Table(("term", "meaning"), [(term, TERMS[term]) for term in some], title)
