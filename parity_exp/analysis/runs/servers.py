"""Servers that the same load was played against, each in a run of its own, and how late each one's answers were."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parity_exp.analysis.runs.tidy import Tidy
from parity_exp.analysis.tables.comparison import MISSING, load_words
from parity_exp.recordings.gathered import GatheredRun
from parity_exp.recordings.run_directory import RunDirectory

LOAD = "load"
"""The command."""


@dataclass(frozen=True)
class Played:
    """A run of ``load``.

    Attributes:
        server: what it is called.
        load: in words.
        latencies_ms: of all answers, ascending.
        lost: queries without an answer.
    """

    server: str
    load: str
    latencies_ms: NDArray[np.float64]
    lost: int


def played_rows(serving: pd.DataFrame) -> pd.DataFrame:
    """The rows of serving that are runs of ``load``, with their loads in words and the queries that were lost."""
    if serving.empty:
        return serving
    rows = serving[serving["command"] == LOAD]
    lost = rows["lost"].fillna(0).astype(int) if "lost" in rows else 0
    return rows.assign(load=_load_words(rows), lost=lost)


def played(gathered: Sequence[GatheredRun], tidy: Tidy) -> list[Played]:
    """All runs of ``load`` whose recordings can be read."""
    places = {str(run.path): run.path for run in gathered}
    found = []
    for row in played_rows(tidy.serving).to_dict("records"):
        server = str(row["policy"])
        try:
            table = pd.read_parquet(RunDirectory(places[row["run"]]).queries(server), columns=["latency_ms"])
        except (OSError, ValueError, KeyError):
            continue  # the report's problems have it
        found.append(Played(server, row["load"], np.sort(table["latency_ms"].to_numpy(float)), row["lost"]))
    return found


def _load_words(rows: pd.DataFrame) -> pd.Series:
    """The loads, each with its kind where runs are of several; of a closed loop nobody asked for a rate."""
    words = load_words(rows)
    if "load" not in rows:
        return words
    return rows["load"].astype(str) + (" " + words).where(words != MISSING, "")
