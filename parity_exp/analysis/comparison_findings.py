"""What many runs say together, in sentences made from their numbers alone."""

import pandas as pd

from parity_exp.analysis.findings import BASELINE, NOISE
from parity_exp.analysis.serving_tables import percent

MOST = 8
"""So many sentences of a kind; more would not be read."""


def encoder_findings(measured: pd.DataFrame) -> list[str]:
    """Which encoder is best at which k, by the best setting of each, a sentence a data set, architecture and k."""
    if measured.empty:
        return []
    keys = ["dataset", "architecture", "k", "r"]
    sentences = []
    for place, rows in measured.groupby(keys, dropna=False):
        settings = rows.groupby(["encoder", "decoder", "variant"], dropna=False)["test/degraded_accuracy"].mean()
        best = settings.groupby(level=0).max().sort_values(ascending=False)
        dataset, architecture, k, r = place
        many = f", r = {r}" if measured["r"].nunique() > 1 else ""
        first = (
            f"{dataset}, {architecture}, k = {k}{many}: {best.index[0]} reconstructs {percent(best.iloc[0])} rightly"
        )
        others = ", ".join(f"{name} {percent(value)}" for name, value in best.iloc[1:].items())
        available = percent(float(rows["test/available_accuracy"].mean()))
        sentences.append(f"{first}{f' ({others})' if others else ''}, of {available} that the base model has right.")
    return _some(sentences, "more combinations of data set, architecture and k are in the table.")


def policy_findings(serving: pd.DataFrame) -> list[str]:
    """For each policy how its p99.9 and accuracy compare with the baseline's of the same runs."""
    if serving.empty or BASELINE not in set(serving["policy"]):
        return []
    base = serving[serving["policy"] == BASELINE].set_index("run")
    sentences = []
    for policy, rows in serving[serving["policy"] != BASELINE].groupby("policy", sort=False):
        own = rows[rows["run"].isin(base.index)].set_index("run")
        if own.empty:
            continue
        ratio = own["latency_ms/p99.9"] / base["latency_ms/p99.9"].reindex(own.index)
        lower, higher = int((ratio < 1 - NOISE).sum()), int((ratio > 1 + NOISE).sum())
        change = 100 * float((own["accuracy"] - base["accuracy"].reindex(own.index)).median())
        sentences.append(
            f"{policy} against {BASELINE}, {_runs(len(own))}: p99.9 lower in {lower}, higher in {higher}, in the median "
            f"{ratio.median():.2g} of it; accuracy of what clients got {change:+.2f} points in the median."
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
    for name, words in (("lost", "queries that were sent and never answered"), ("duplicates", "answers too many")):
        if name in serving and serving[name].fillna(0).sum() > 0:
            where = serving.loc[serving[name] > 0, "run"].nunique()
            lines.append(f"{serving[name].sum():,.0f} {words}, in {_runs(where)}. These must be 0.")
    if not measured.empty:
        keys = ["dataset", "architecture", "encoder", "decoder", "k", "r", "variant"]
        repeated = measured.groupby(keys, dropna=False).size()
        once = int((repeated == 1).sum())
        if once:
            lines.append(
                f"{once:,} of {len(repeated):,} codes ran once, so nothing is known of their spread over seeds."
            )
    return lines


def _some(sentences: list[str], rest: str) -> list[str]:
    return sentences if len(sentences) <= MOST else [*sentences[:MOST], f"{len(sentences) - MOST} {rest}"]


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"
