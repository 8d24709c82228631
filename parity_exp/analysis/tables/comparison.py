"""Tables that compare runs, from the tidy ones: means over repetitions, and how far these are apart.

A repetition differs from another by seeds alone. Whatever else differs has a row of its own.
"""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from parity_exp.analysis.runs.tidy import CODE
from parity_exp.analysis.tables.numbers import number, percent
from parity_exp.analysis.tables.quality import score_name
from parity_exp.recordings.costs import COSTS

ACCURACIES = {
    "available": "test/available_accuracy",
    "degraded": "test/degraded_accuracy",
    "reconstruction": "test/reconstruction_accuracy",
}
OTHER_SCORES = re.compile(r"test/(available|degraded)_(?!.*_top\d+$)(\w+)")
"""What tasks are judged by that have another score than accuracy."""

BY_LOSSES = re.compile(r"test/losses_(\d+)/degraded_accuracy")
"""Where r > 1: degraded accuracy with so many predictions of a group lost."""

LATENCIES = {
    "p50 ms": "latency_ms/p50",
    "p99 ms": "latency_ms/p99",
    "p99.9 ms": "latency_ms/p99.9",
    "gap ms": "gap_ms",
    "accuracy": "accuracy",
    "rebuilt": "fraction/reconstructed",
    "backup": "fraction/backup",
    "default": "fraction/default",
    "error": "fraction/error",
}
SERVERS = {
    "p50 ms": "latency_ms/p50",
    "p99 ms": "latency_ms/p99",
    "p99.9 ms": "latency_ms/p99.9",
    "slowest ms": "latency_ms/max",
    "answers/s": "throughput_qps",
    "queries": "queries",
    "lost": "lost",
    "accuracy": "accuracy",
    "rebuilt": "fraction/reconstructed",
}
"""Of servers that ``load`` has asked."""

TRAINING_COSTS = {
    "epochs": "train/epochs",
    "seconds per epoch": "train/seconds_per_epoch",
    "parity training, s": "train/parity_seconds",
    "queries/s": "train/queries_per_second",
}
PARTS = (
    "instances", "extra_instances", "tasks_per_query", "parity_queries", "encode_us", "decode_us", "frontend_us",
)  # fmt: skip
SERVING_COSTS = {**{COSTS[key]: key for key in PARTS}, "parity training, s": "train/parity_seconds"}

CODE_KEYS = [*CODE, "variant"]
SETTING = ["dataset", "architecture", "encoder", "decoder", "k", "r", "setting"]
LOAD = ["load_is_a_rate", "utilisation", "rate_qps"]
MISSING = "-"
EQUALS = "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"
SPREAD = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"


def accuracy_table(measured: pd.DataFrame) -> pd.DataFrame:
    """A row a code: mean and standard deviation of its accuracies over seeds."""
    by_losses = {
        f"degraded, {match[1]} lost": str(key) for key in measured.columns if (match := BY_LOSSES.fullmatch(str(key)))
    }
    others = {
        f"{match[1]} {score_name(match[2])}": str(key)
        for key in measured.columns
        if (match := OTHER_SCORES.fullmatch(str(key))) and match[2] != "accuracy"
    }
    columns = {**ACCURACIES, **dict(sorted(others.items())), **dict(sorted(by_losses.items()))}
    return _compared(measured, CODE_KEYS, columns, spread=tuple(columns))


def training_costs(measured: pd.DataFrame) -> pd.DataFrame:
    """A row a code: what its training took."""
    return _compared(measured, CODE_KEYS, TRAINING_COSTS)


def latency_table(serving: pd.DataFrame) -> pd.DataFrame:
    """A row a setting, load and policy: mean latencies, accuracy and sources of answers; of the gap its spread too."""
    used = {
        name: key
        for name, key in LATENCIES.items()
        if not key.startswith("fraction/") or (key in serving and (serving[key] > 0).any())
    }
    loaded = serving.assign(load=load_words(serving))
    return _compared(loaded, [*SETTING, "load", "policy_variant"], used, spread=("gap ms",))


def server_table(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a load and server that it was played against: mean latencies, queries a second, and those lost.

    Args:
        rows: see :func:`parity_exp.analysis.runs.servers.played_rows`.
    """
    named = rows.rename(columns={"policy": "server"})
    return _compared(named, ["load", "server"], SERVERS)


def serving_costs(serving: pd.DataFrame) -> pd.DataFrame:
    """A row a code and policy: what it needs beside the base instances."""
    return _compared(serving, [*CODE, "base_instances", "policy_variant"], SERVING_COSTS)


def load_words(serving: pd.DataFrame) -> pd.Series:
    """The load of each row in words; a rate as it was asked for, else a share of what the base instances can serve."""
    words = [
        f"{number(rate_qps)} q/s" if is_a_rate else MISSING if share != share else f"{100 * share:.3g} %"
        for is_a_rate, share, rate_qps in zip(*(serving[name] for name in LOAD), strict=True)
    ]
    return pd.Series(words, index=serving.index, dtype=object)


def constant_words(table: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """A table without those key columns that are the same in all of its rows, and these in words."""
    words = []
    for key in keys:
        if key in table and table[key].nunique(dropna=False) <= 1:
            value = table[key].iloc[0] if len(table) else ""
            if value not in ("", MISSING):
                equals = EQUALS if key in ("k", "r", "base_instances") else " "
                words.append(f"{key.replace('_', ' ')}{equals}{value}")
            table = table.drop(columns=key)
    return table, words


def _compared(
    rows: pd.DataFrame, keys: Sequence[str], columns: Mapping[str, str], spread: Sequence[str] = ()
) -> pd.DataFrame:
    """Cells as text: keys, the number of runs, and means; of some columns the standard deviation, too.

    Columns of which no row has a value are left out.
    """
    keys = [key for key in keys if key in rows]
    present = {name: key for name, key in columns.items() if key in rows and rows[key].notna().any()}
    if rows.empty or not present:
        return pd.DataFrame()
    filled = rows.assign(**{key: rows[key].astype(object).where(rows[key].notna(), MISSING) for key in keys})
    groups = filled.groupby(keys, sort=False)
    means, deviations = groups[list(present.values())].mean(), groups[list(present.values())].std()
    counts = groups.size()
    body = []
    for at, (place, count) in enumerate(counts.items()):
        cells = dict(zip(keys, place if isinstance(place, tuple) else (place,), strict=True))
        cells["runs"] = count
        for name, key in present.items():
            mean, deviation = means[key].iloc[at], deviations[key].iloc[at]
            cell = _cell(name, key, mean)
            told = name in spread and deviation == deviation
            cells[name] = f"{cell}{SPREAD}{_cell(name, key, deviation)}" if told else cell
        body.append(cells)
    table = pd.DataFrame(body)
    order = [key for key in keys if key not in ("decoder", "r")]
    return table.sort_values(order, key=_order, kind="stable").reset_index(drop=True)


def _order(column: pd.Series) -> pd.Series:
    """Numbers by size, loads by their number, and other text by the alphabet; `-` stands last."""
    if column.name == "load":
        return column.map(lambda text: float(text.split()[0].replace(",", "")) if text != MISSING else float("inf"))
    numeric = column.map(lambda value: isinstance(value, int | float))
    if numeric.any():
        return column.where(numeric, float("inf")).astype(float)
    return column.astype(str).str.lower()


def _cell(name: str, key: str, value: float) -> str:
    if value != value:
        return MISSING
    if key.startswith("fraction/"):
        return percent(value)
    if key.startswith("test/") or key == "accuracy":
        return f"{value:.4f}"
    if key in ("instances", "extra_instances", "train/epochs"):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:.1f}"
    return number(value) if value else "0"
