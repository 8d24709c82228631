"""How policies stand against each other over many stragglers and loads, and what a gap depends on.

Compared is what ran on the same arrivals and stragglers: the policies of a run, on as many instances as each other.
"""

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from parity_exp.analysis.figures.axes import clean, milliseconds
from parity_exp.analysis.figures.colours import PLAIN, Palette
from parity_exp.analysis.figures.panels import Plate
from parity_exp.analysis.figures.policies_compared import CODE, ENVIRONMENT
from parity_exp.analysis.figures.policy_map import policy_map
from parity_exp.analysis.pages.findings import NOISE
from parity_exp.analysis.runs.tidy import Tidy
from parity_exp.analysis.tables.comparison import load_words
from parity_exp.recordings.looks import Looks, baseline_among, look_of
from parity_exp.words import counted

PERCENTILES = ("p99", "p99.9")
WORST = 4.0
"""Ratios from here on have the darkest colour."""

MOST_POLICIES, MOST_SETTINGS, MOST_PANELS = 8, 12, 6
FEWEST_VALUES = 3

WIDE = 10
"""Values whose largest is more than so many times the least stand on a logarithmic axis."""


def standing_figures(tidy: Tidy, points: pd.DataFrame, palette: Palette = PLAIN) -> dict[str, Plate]:
    """Every picture that the runs and the points of their map support, by the name of its file."""
    plates = {
        "policy_map": policy_map(tidy, points, palette),
        "policy_standings": policy_standings(tidy.serving, palette.looks),
        "gap_ratio": gap_ratio(tidy, palette),
    }
    return {name: plate for name, plate in plates.items() if plate is not None}


def standings(serving: pd.DataFrame, looks: Looks | None = None) -> pd.DataFrame:
    """Each policy's latencies over those of the best other one in the same place; the mean over repetitions.

    Args:
        serving: a row a run and policy.
        looks: what policies say of themselves; nobody is measured against a bound.

    Returns:
        a row a setting, load and policy: ``setting``, ``load``, ``policy``, and ``p99`` and ``p99.9`` as ratios.
        Only where three policies or more have the same number of instances.
    """
    if serving.empty or "instances" not in serving:
        return pd.DataFrame()
    rows = serving.assign(load=load_words(serving), setting=_places(serving))
    rows = rows[rows["policy"] == rows["policy_variant"]]
    keys = ["setting", "load", "instances", "policy"]
    means = rows.groupby(keys, dropna=False, sort=False)[[f"latency_ms/{name}" for name in PERCENTILES]].mean()
    means.columns = pd.Index(PERCENTILES)
    bounds = [policy for policy in rows["policy"].unique() if look_of(str(policy), looks).is_bound]
    ratios = []
    for _, place in means.reset_index().groupby(keys[:3], dropna=False, sort=False):
        if len(place) < 3:
            continue
        for at, row in place.iterrows():
            others = place[(place.index != at) & ~place["policy"].isin(bounds)]
            ratios.append(
                {**row[["setting", "load", "policy"]], **(row[[*PERCENTILES]] / others[[*PERCENTILES]].min())}
            )
    return pd.DataFrame(ratios)


def standing_sentences(table: pd.DataFrame) -> list[str]:
    """For each policy how often it is as good as the best other one, from :func:`standings`."""
    if table.empty or len(table.groupby(["setting", "load"])) < 2:
        return []
    sentences = []
    for policy, rows in table.groupby("policy", sort=False):
        parts = [
            f"{name} within {NOISE:.0%} of the best other policy or better at {(rows[name] <= 1 + NOISE).sum()} of "
            f"{counted(len(rows), 'point')}, in the median {rows[name].median():.2f} of it, at worst "
            f"{rows[name].max():.2f}"
            for name in PERCENTILES
        ]
        sentences.append(f"{policy}: {'; '.join(parts)}.")
    return sentences


def policy_standings(serving: pd.DataFrame, looks: Looks | None = None) -> Plate | None:
    """A panel a policy and percentile: its latency over the best other policy's, by setting and load."""
    table = standings(serving, looks)
    if table.empty or table["setting"].nunique() < 2 or table["load"].nunique() < 2:
        return None
    policies = list(table["policy"].unique())[:MOST_POLICIES]
    settings = list(table["setting"].unique())[:MOST_SETTINGS]
    loads = sorted(table["load"].unique(), key=lambda text: float(text.split()[0].replace(",", "")))
    size = (1.6 + 0.36 * len(loads) * len(policies), 1.2 + 0.7 * len(settings))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(PERCENTILES), len(policies), squeeze=False, sharex=True, sharey=True)
    image = None
    for name, row in zip(PERCENTILES, axes, strict=True):
        for policy, axis in zip(policies, row, strict=True):
            own = table[table["policy"] == policy].pivot(index="setting", columns="load", values=name)
            ratios = own.reindex(index=settings, columns=loads).to_numpy(dtype=float)
            image = axis.imshow(ratios, norm=LogNorm(1 / WORST, WORST), cmap="PuOr_r", aspect="auto")
            for (y, x), ratio in np.ndenumerate(ratios):
                if ratio == ratio:
                    dark = abs(np.log(ratio)) > 0.7 * np.log(WORST)
                    words = f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"
                    axis.text(x, y, words, ha="center", va="center", fontsize=6, color="white" if dark else "black")
            axis.set_title(f"{policy}, {name}", fontsize=8)
            axis.set_xticks(range(len(loads)), loads, fontsize=6.5, rotation=90)
            axis.set_yticks(range(len(settings)), [_short(text) for text in settings], fontsize=7)
    assert image is not None
    bar = figure.colorbar(image, ax=axes, fraction=0.02, ticks=[1 / WORST, 0.5, 1, 2, WORST], format="%g")
    bar.set_label("of the best other policy's", fontsize=8)
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=7)
    return Plate(figure)


def gap_ratio(tidy: Tidy, palette: Palette = PLAIN) -> Plate | None:
    """The baseline's gap over each policy's, a panel for each number of the scenario that takes several values.

    Shown are the runs in which all other numbers have their most frequent value, as when one after the other is varied.
    """
    serving = tidy.serving
    baseline = None if serving.empty else baseline_among(serving["policy"].unique(), palette.looks)
    if baseline is None:
        return None
    base = serving[serving["policy"] == baseline].set_index("run")["gap_ms"]
    rows = serving[serving["policy"] != baseline]
    rows = rows.assign(ratio=rows["run"].map(base) / rows["gap_ms"])
    keys = [
        key
        for key in tidy.differing
        if key.startswith(("straggler.", "simulate.")) and key in rows and pd.api.types.is_numeric_dtype(rows[key])
    ]
    usual = {key: rows[key].mode().iloc[0] for key in keys if rows[key].notna().any()}
    shown = {}
    for key in usual:
        others = [other for other in usual if other != key]
        alike = rows[(rows[others] == pd.Series({other: usual[other] for other in others})).all(axis=1)]
        if alike[key].nunique() >= FEWEST_VALUES:
            shown[key] = alike
    if not shown:
        return None
    several = list(shown.items())[:MOST_PANELS]
    colours = palette.policies([str(policy) for policy in rows["policy"].unique()])
    columns = 2 if len(several) == 4 else min(len(several), 3)
    lines = -(-len(several) // columns)
    figure = Figure(figsize=(1.2 + 2.8 * columns, 0.6 + 2.7 * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False, sharey=True).flat)
    for axis, (key, some) in zip(axes, several, strict=False):
        for policy, own in some.groupby("policy", sort=False):
            means = own.groupby(key)["ratio"].mean()
            axis.plot(means.index, means, color=colours[str(policy)], marker="o", ms=3.5, lw=1.6, label=policy)
        axis.axhline(1, color="#777777", lw=0.8, ls=":")
        axis.axvline(usual[key], color="#777777", lw=0.8, ls=":")
        axis.set_xlabel(key, fontsize=8)
        values = some[key]
        if values.min() > 0 and values.max() / values.min() > WIDE:
            axis.set_xscale("log")
        axis.tick_params(which="both", labelsize=8)
        clean(axis)
    ratios = pd.concat([some["ratio"] for some in shown.values()])
    if ratios.min() > 0 and ratios.max() / ratios.min() > WIDE:
        axes[0].set_yscale("log")  # of all, for they share it; otherwise one long line leaves the others no room
        milliseconds(axes[0].yaxis)
    for axis in axes[len(several) :]:
        axis.set_axis_off()
    for axis in axes[::columns]:
        axis.set_ylabel(f"gap of {baseline}\nover the policy's", fontsize=8)
    axes[0].legend(frameon=False, fontsize=8)
    return Plate(figure, len(shown) - len(several))


def _places(serving: pd.DataFrame) -> pd.Series:
    """For each row its setting, after what else differs between the rows' codes."""
    differing = [key for key in (*ENVIRONMENT[:2], *CODE) if serving[key].nunique(dropna=False) > 1]
    parts = [f"{key}=" + serving[key].astype(str) for key in differing]
    return sum((part + " " for part in parts), start=pd.Series("", index=serving.index)) + serving["setting"]


def _short(setting: str) -> str:
    """A setting with the last words of its keys alone, as far as there is room."""
    return " ".join(word.rpartition(".")[2] for word in setting.split())[:40]
