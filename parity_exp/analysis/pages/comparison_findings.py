"""What many runs say together, in sentences made from their numbers alone."""

import pandas as pd

from parity_exp.analysis.pages.findings import NOISE
from parity_exp.analysis.runs.best_settings import best_settings
from parity_exp.analysis.tables.numbers import percent
from parity_exp.recordings.looks import Looks, baseline_among
from parity_exp.words import QUERY, counted

MOST = 8
"""So many sentences of a kind; more would not be read."""


def encoder_findings(measured: pd.DataFrame) -> list[str]:
    """Which encoder is best at which k, each at its best setting: a sentence a data set and architecture.

    Settings and encoders are ranked by validation groups; the numbers are those of the test split.
    """
    if measured.empty:
        return []
    sentences = []
    several_r = measured["r"].nunique() > 1
    for (dataset, architecture), rows in measured.groupby(["dataset", "architecture"], dropna=False):
        parts = []
        for (k, r), some in rows.groupby(["k", "r"], dropna=False):
            best = best_settings(some, ["encoder"]).sort_values("chosen_by", ascending=False, kind="stable")
            words = ", ".join(f"{name} {percent(value)}" for name, value in best["degraded"].items())
            if open_choices := sorted({str(name) for name in some["encoder"]} - {str(name) for name in best.index}):
                words += f"{', ' if words else ''}{' and '.join(open_choices)} without validation values to choose by"
            parts.append(f"k = {k}{f', r = {r}' if several_r else ''}: {words}")
        available = percent(float(rows["test/available_accuracy"].mean()))
        sentences.append(
            f"{dataset}, {architecture}, available accuracy {available}; degraded accuracy on the test split, best "
            f"encoder first, each at its best setting, by validation: {'; '.join(parts)}."
        )
    return _some(sentences, "more data sets and architectures are in the table.")


def policy_findings(serving: pd.DataFrame, looks: Looks | None = None) -> list[str]:
    """For each policy how its p99.9 and accuracy compare with the baseline's of the same runs."""
    baseline = None if serving.empty else baseline_among(serving["policy"].unique(), looks)
    if baseline is None:
        return []
    base = serving[serving["policy"] == baseline].set_index("run")
    sentences = []
    for policy, rows in serving[serving["policy"] != baseline].groupby("policy", sort=False):
        own = rows[rows["run"].isin(base.index)].set_index("run")
        if own.empty:
            continue
        ratio = own["latency_ms/p99.9"] / base["latency_ms/p99.9"].reindex(own.index)
        lower, higher = int((ratio < 1 - NOISE).sum()), int((ratio > 1 + NOISE).sum())
        change = 100 * float((own["accuracy"] - base["accuracy"].reindex(own.index)).median())
        accuracy = "" if change != change else f"; accuracy of what clients got {change:+.2f} points in the median"
        sentences.append(
            f"{policy} against {baseline}, {_runs(len(own))}: p99.9 lower in {lower}, higher in {higher}, in the "
            f"median {ratio.median():.2g} of it{accuracy}."
        )
    return _some(sentences, "more policies are in the table.")


def comparison_warnings(runs: pd.DataFrame, measured: pd.DataFrame, serving: pd.DataFrame) -> list[str]:
    """What a reader must know before believing anything else."""
    lines = []
    wrong = int(runs["problem"].notna().sum())
    if wrong:
        lines.append(
            f"{_runs(wrong)} of {len(runs):,} {'has' if wrong == 1 else 'have'} something wrong or unfinished; they "
            "stand under Problems. Runs without metrics are in no table or figure."
        )
    for name, of, words in (
        ("lost", QUERY, "sent and never answered"),
        ("duplicates", ("answer",), "too many"),
    ):
        if name in serving and serving[name].fillna(0).sum() > 0:
            where = serving.loc[serving[name] > 0, "run"].nunique()
            lines.append(f"{counted(serving[name].sum(), *of)} {words}, in {_runs(where)}. There must be none.")
    if not measured.empty:
        keys = ["dataset", "architecture", "encoder", "decoder", "k", "r", "variant"]
        repeated = measured.groupby(keys, dropna=False).size()
        once = int((repeated == 1).sum())
        if once:
            which = "The code" if len(repeated) == 1 else f"{once:,} of {len(repeated):,} codes"
            lines.append(f"{which} ran once, so nothing is known of the spread over seeds.")
    return lines


def _some(sentences: list[str], rest: str) -> list[str]:
    return sentences if len(sentences) <= MOST else [*sentences[:MOST], f"{len(sentences) - MOST} {rest}"]


def _runs(count: int) -> str:
    return counted(count, "run")
