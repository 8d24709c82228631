"""Tables of serving, from the flat metrics of a run.

Tables hold numbers; :func:`written` makes the text that people read of them, in the terminal and in reports.
"""

from collections.abc import Mapping

import pandas as pd

from parity_exp.analysis.tables.numbers import number, percent
from parity_exp.analysis.tables.quality import score_name
from parity_exp.policies.policy import SOURCES
from parity_exp.recordings.costs import COSTS
from parity_exp.recordings.measures import PER_MILLE, quality_of
from parity_exp.recordings.overall_accuracy import OVERALL

INTERVAL = "_ci95"
"""Ends the names of half-widths of confidence intervals over seeds."""

LATENCIES = {**{f"{name} ms": f"latency_ms/{name}" for name in PER_MILLE}, "max ms": "latency_ms/max"}
SHARES = {source: f"fraction/{source}" for source in SOURCES if source != "own"}
BESIDE = {words: key for key, words in COSTS.items() if key != "instances"}
"""Costs beside the instances, which stand with the latencies."""

WRONG_ANSWERS = {
    "accuracy": "accuracy",
    "corrupted": "fraction/corrupted",
    "flagged": "fraction/flagged",
    "unnoticed": "fraction/unnoticed",
    "not finite": "fraction/not_finite",
    "checks": "checks",
    "detected": "detection_rate",
    "false alarms": "false_alarm_rate",
    "check us": "check_us",
}
COUNTS = ("instances", "extra instances", "extra queries", "parity queries", "lost", "checks")
RATES = ("corrupted", "flagged", "unnoticed", "not finite", "detected", "false alarms")


def percentile_table(policies: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row a policy: instances, latencies, gap p99.9 - p50, accuracy of what clients got, shares, lost queries.

    Shares of sources that no policy used are left out, but for ``reconstructed`` and ``default``; what was not
    measured is NaN.
    """
    used = {
        name: key
        for name, key in SHARES.items()
        if name in ("reconstructed", "default") or any(values.get(key) for values in policies.values())
    }
    measured = dict.fromkeys(quality_of(values) for values in policies.values() if "accuracy" in values)
    quality = {score_name(key): key for key in (*measured, *(["accuracy"] if measured else ()))}
    if any(OVERALL in values for values in policies.values()):
        quality |= {"overall accuracy": OVERALL}
    what = {"gap ms": "gap_ms", **quality, **used, "lost": "lost"}
    return _table(policies, {"instances": "instances", **LATENCIES, **what})


def cost_table(policies: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row a policy: what it needs beside the base instances. Columns that no policy has are left out."""
    measured = {name: key for name, key in BESIDE.items() if any(key in values for values in policies.values())}
    return _table(policies, measured)


def interval_table(policies: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row a policy: mean latencies over seeds with half of their 95 % confidence intervals, as text.

    Empty where there was one seed only.
    """
    rows = [
        {
            "policy": policy,
            **{
                name: f"{number(values[key])} ± {number(values[key + INTERVAL])}"
                for name, key in {**LATENCIES, "mean ms": "latency_ms/mean", "gap ms": "gap_ms"}.items()
                if key + INTERVAL in values
            },
        }
        for policy, values in policies.items()
    ]
    table = pd.DataFrame(rows)
    return table if len(table.columns) > 1 else table.iloc[:0]


def wrong_answers_table(policies: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row a policy: how many corrupted answers clients got, and how many of them a policy has noticed.

    Empty where nothing was corrupted, nothing checked, and everything finite.
    """
    telling = ("fraction/corrupted", "fraction/not_finite")
    if not any(any(map(values.get, telling)) or "checks" in values for values in policies.values()):
        return pd.DataFrame()
    not_finite = any(values.get("fraction/not_finite") for values in policies.values())
    return _table(policies, {name: key for name, key in WRONG_ANSWERS.items() if not_finite or name != "not finite"})


def _table(policies: Mapping[str, Mapping[str, float]], columns: Mapping[str, str]) -> pd.DataFrame:
    rows = [
        {"policy": policy, **{name: values.get(key, float("nan")) for name, key in columns.items()}}
        for policy, values in policies.items()
    ]
    return pd.DataFrame(rows, columns=["policy", *columns])


def written(table: pd.DataFrame) -> pd.DataFrame:
    """The same table as people read it: latencies with three digits or more, shares in percent, all cells text."""
    return pd.DataFrame(
        {name: [_cell(str(name), value) for value in table[name]] for name in table.columns}, columns=table.columns
    )


def _cell(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if value != value:
        return "-"
    if name in SOURCES or name in RATES:
        return percent(value)
    if name in COUNTS:
        return f"{value:,.0f}"
    if name.endswith((" ms", " us", " s", " q/s")):
        return number(value)
    return f"{value:.4f}"  # scores, whatever the task calls them, and tasks a query
