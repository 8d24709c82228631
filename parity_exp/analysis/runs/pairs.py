"""Pairs of policies of many runs, with the confidence intervals that simulations of several seeds have written."""

from collections.abc import Sequence

import pandas as pd

from parity_exp.recordings import names
from parity_exp.recordings.gathered import GatheredRun
from parity_exp.recordings.run_directory import RunDirectory

COLUMNS = ("policy", "other", "percentile", "ratio", "low", "high")


def pairs_of(gathered: Sequence[GatheredRun]) -> pd.DataFrame:
    """A row a run, ordered pair of policies and percentile.

    Returns:
        ``run``, ``policy``, ``other``, ``percentile``, and the ``ratio`` of the first one's latency to the other's,
        which is between ``low`` and ``high`` with 95 % confidence. Of runs of one seed, or whose file is damaged,
        there is nothing.
    """
    tables = [table for run in gathered if names.PAIRS in run.files and (table := _read(run)) is not None]
    if not tables:
        return pd.DataFrame(columns=["run", *COLUMNS])
    pairs = pd.concat(tables, ignore_index=True)
    ratios = {"ratio": 1 / pairs["ratio"], "low": 1 / pairs["high"], "high": 1 / pairs["low"]}
    turned = pairs.rename(columns={"policy": "other", "other": "policy"}).assign(**ratios)
    return pd.concat([pairs, turned[list(pairs.columns)]], ignore_index=True)


def _read(run: GatheredRun) -> pd.DataFrame | None:
    try:
        table = pd.read_csv(RunDirectory(run.path).pairs, dtype={"policy": str, "other": str}, keep_default_na=False)
        table = table[list(COLUMNS)].astype(dict.fromkeys(COLUMNS[2:], float))
    except (OSError, ValueError, KeyError):
        return None
    table.insert(0, "run", str(run.path))
    return table
