"""Which setting stands for an encoder: chosen by validation, told of by the test split, which chooses nothing."""

from collections.abc import Sequence

import pandas as pd

CHOOSING = ("train/best_val_degraded_accuracy", "train/best_val_reconstruction_accuracy")
"""What settings are chosen by: the first of these that all of them have; the second is what earlier versions wrote."""

TOLD = "test/degraded_accuracy"
SETTING = ("r", "decoder", "variant")
"""Columns that tell an encoder's settings apart."""


def best_settings(rows: pd.DataFrame, by: Sequence[str], setting: Sequence[str] = SETTING) -> pd.DataFrame:
    """The best setting at each value of some columns, by the mean over seeds on validation groups.

    Where settings differ and no validation value is there for all of them, none is chosen and none is returned.

    Args:
        rows: a row a run.
        by: columns within whose values settings compete.
        setting: columns that tell settings apart.

    Returns:
        a row for each value of ``by``, which is the index: ``chosen_by``, the mean on validation groups, NaN where
        there was one setting only and no such value; and ``degraded``, the chosen setting's mean on the test split.
    """
    chosen: dict[object, tuple[float, float]] = {}
    for place, some in rows.groupby(list(by) if len(by) > 1 else by[0], dropna=False):
        key = next((name for name in CHOOSING if name in some and some[name].notna().all()), None)
        groups = some.groupby([name for name in setting if name in some], dropna=False)
        told = groups[TOLD].mean()
        if key is not None:
            values = groups[key].mean()
            best = int(values.to_numpy().argmax())
            chosen[place] = float(values.iloc[best]), float(told.iloc[best])
        elif len(told) == 1:
            chosen[place] = float("nan"), float(told.iloc[0])
    table = pd.DataFrame(list(chosen.values()), columns=["chosen_by", "degraded"], index=list(chosen))
    return table.rename_axis(index=by[0] if len(by) == 1 else None)
