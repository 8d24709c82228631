"""Pictures of a run: learning curves, accuracy by class, overall accuracy, and what a code does to images.

Every function returns a Matplotlib figure and leaves saving to the caller.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from parity_exp.analysis.picture_files import DPI as DPI
from parity_exp.analysis.picture_files import save as save
from parity_exp.training.evaluation import Examples

AVAILABLE, DEGRADED, RECONSTRUCTION = "#3b6ea5", "#d9822b", "#5a9367"


def learning_curves(coded: pd.DataFrame, base: pd.DataFrame | None) -> Figure:
    """Loss and validation accuracy over epochs, of the coded model and, where it was trained here, the base model."""
    phases = [("coded model", coded)] + ([("base model", base)] if base is not None else [])
    figure = Figure(figsize=(9, 3.4 * len(phases)), layout="constrained")
    axes = figure.subplots(len(phases), 2, squeeze=False)
    colours = {
        "val/accuracy": AVAILABLE,
        "val/degraded_accuracy": DEGRADED,
        "val/reconstruction_accuracy": RECONSTRUCTION,
    }
    for (name, history), (loss, accuracy) in zip(phases, axes, strict=True):
        loss.plot(history["epoch"], history["train/loss"], color="#555555")
        loss.set(title=f"{name}: training loss", xlabel="epoch", yscale="log")
        for column, colour in colours.items():
            if column in history:
                label = column.removeprefix("val/").replace("_", " ")
                accuracy.plot(history["epoch"], history[column], color=colour, label=label)
        accuracy.set(title=f"{name}: validation accuracy", xlabel="epoch")
        accuracy.legend(frameon=False, loc="lower right")
    for axis in axes.flat:
        _clean(axis)
    return figure


def accuracy_by_class(per_class: pd.DataFrame, shown: int = 30) -> Figure:
    """Available and degraded accuracy of each class; of more classes than ``shown``, those that lose most."""
    table = per_class
    title = "Accuracy by class"
    if len(table) > shown:
        lost = table["available_accuracy"] - table["degraded_accuracy"]
        table = table.loc[lost.nlargest(shown).index]
        title = f"Accuracy of the {shown} classes that lose most, of {len(per_class)}"
    figure = Figure(figsize=(max(6.0, 0.55 * len(table) + 2), 4), layout="constrained")
    axis = figure.subplots()
    place = np.arange(len(table))
    axis.bar(place - 0.2, table["available_accuracy"], 0.4, color=AVAILABLE, label="available")
    axis.bar(place + 0.2, table["degraded_accuracy"], 0.4, color=DEGRADED, label="degraded")
    axis.set_xticks(place, table["class"], rotation=45 if table["class"].str.len().max() > 2 else 0, ha="center")
    axis.set(title=title, ylim=(0, 1))
    axis.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    _clean(axis)
    return figure


def overall_accuracy(overall: pd.DataFrame, available: float, classes: int) -> Figure:
    """Overall accuracy by fraction unavailable, with the code and with a guess in place of what is lost."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axis = figure.subplots()
    fractions = overall["fraction_unavailable"]
    axis.plot(fractions, overall["overall_accuracy"], color=DEGRADED, marker="o", ms=4, label="reconstructed")
    guess = (1 - fractions) * available + fractions / classes
    axis.plot(fractions, guess, color="#888888", ls="--", label="default prediction (a guess)")
    axis.axhline(available, color=AVAILABLE, lw=1, label="nothing lost")
    axis.set(xlabel="fraction unavailable $f_u$", ylabel="overall accuracy $A_o$", title="Overall accuracy")
    axis.legend(frameon=False, loc="lower left")
    _clean(axis)
    return figure


def groups(examples: Examples, class_names: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> Figure:
    """Coding groups, one a row: queries, parity queries, and what comes back when each prediction is lost."""
    rows, k = examples.labels.shape
    r = examples.parity_queries.shape[1]
    figure = Figure(figsize=(1.55 * (k + r) + 0.3, 2.15 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, k + r, squeeze=False)
    own = examples.predictions.argmax(-1)
    back = examples.decoded.argmax(-1)
    for row in range(rows):
        for place in range(k):
            axis = axes[row, place]
            _image(axis, examples.queries[row, place], mean, std)
            same = bool(back[row, place] == own[row, place])
            axis.set_xlabel(
                f"own: {class_names[int(own[row, place])]}\nrebuilt: {class_names[int(back[row, place])]}",
                color="#2c6e3f" if same else "#b03a2e",
                fontsize=8,
            )
        for parity in range(r):
            _image(axes[row, k + parity], examples.parity_queries[row, parity], None, None)
    for place in range(k):
        axes[0, place].set_title(f"query {place + 1}", fontsize=9)
    for parity in range(r):
        axes[0, k + parity].set_title("parity query" if r == 1 else f"parity query {parity + 1}", fontsize=9)
    return figure


def _image(axis: Axes, image: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """Show one image ``(C, H, W)``; without mean and std its values are spread over the grey scale."""
    pixels = image.float()
    if mean is not None and std is not None:
        pixels = pixels * pixels.new_tensor(std).view(-1, 1, 1) + pixels.new_tensor(mean).view(-1, 1, 1)
    else:
        low, high = pixels.min(), pixels.max()
        pixels = (pixels - low) / (high - low).clamp(min=1e-9)
    array = pixels.clamp(0, 1).permute(1, 2, 0).numpy()
    axis.imshow(array[..., 0] if array.shape[2] == 1 else array, cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])


def _clean(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
