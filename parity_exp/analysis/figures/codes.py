"""Pictures of a run: learning curves, quality by class, overall quality, and what a code does to images.

Quality is what the run's task is judged by, such as accuracy.

Every function returns a Matplotlib figure and leaves saving to the caller.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from parity_exp.analysis.figures.axes import clean
from parity_exp.analysis.tables.quality import score_name
from parity_exp.tasks import Task
from parity_exp.training.evaluation import Examples

AVAILABLE, DEGRADED, RECONSTRUCTION = "#3b6ea5", "#d9822b", "#5a9367"
ROUNDING = 1e-3
LINES = 5
"""Of a text that are shown."""
COLOURS = {"degraded": DEGRADED, "reconstruction": RECONSTRUCTION}


def learning_curves(coded: pd.DataFrame, base: pd.DataFrame | None) -> Figure:
    """Loss and validation quality over epochs, of the coded model and, where it was trained here, the base model."""
    phases = [("coded model", coded)] + ([("base model", base)] if base is not None else [])
    figure = Figure(figsize=(9, 3.4 * len(phases)), layout="constrained")
    axes = figure.subplots(len(phases), 2, squeeze=False)
    for (name, history), (loss, quality) in zip(phases, axes, strict=True):
        loss.plot(history["epoch"], history["train/loss"], color="#555555")
        loss.set(title=f"{name}: training loss", xlabel="epoch", yscale="log")
        columns = [str(column) for column in history.columns if str(column).startswith("val/")]
        for column in columns:
            kind = column.removeprefix("val/").partition("_")[0]
            label = score_name(column.removeprefix("val/"))
            quality.plot(history["epoch"], history[column], color=COLOURS.get(kind, AVAILABLE), label=label)
        measured = score_name(columns[0].rpartition("_")[2].removeprefix("val/")) if columns else "quality"
        quality.set(title=f"{name}: validation {measured}", xlabel="epoch")
        quality.legend(frameon=False, loc="lower right")
    for axis in axes.flat:
        clean(axis)
    return figure


def quality_by_class(per_class: pd.DataFrame, quality: str, shown: int = 30) -> Figure:
    """Available and degraded quality of each class; of more classes than ``shown``, those that lose most."""
    table = per_class
    available, degraded, name = f"available_{quality}", f"degraded_{quality}", _sentence(quality)
    title = f"{name} by class"
    if len(table) > shown:
        lost = table[available] - table[degraded]
        table = table.loc[lost.nlargest(shown).index]
        title = f"{name} of the {shown} classes that lose most, of {len(per_class)}"
    figure = Figure(figsize=(max(6.0, 0.55 * len(table) + 2), 4), layout="constrained")
    axis = figure.subplots()
    place = np.arange(len(table))
    axis.bar(place - 0.2, table[available], 0.4, color=AVAILABLE, label="available")
    axis.bar(place + 0.2, table[degraded], 0.4, color=DEGRADED, label="degraded")
    if table["class"].str.len().max() > 2:
        axis.set_xticks(place, table["class"], rotation=40, ha="right", rotation_mode="anchor")
    else:
        axis.set_xticks(place, table["class"])
    axis.set(title=title, ylim=(0, 1))
    axis.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    clean(axis)
    return figure


def overall_quality(overall: pd.DataFrame, quality: str, available: float, default: float) -> Figure:
    """Overall quality by fraction unavailable, with the code and with the default prediction for what is lost.

    Args:
        overall: ``fraction_unavailable`` and ``overall_<quality>``.
        quality: what the task is judged by.
        available: quality of the base model's predictions.
        default: quality of the default prediction.
    """
    name = score_name(quality)
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axis = figure.subplots()
    fractions = overall["fraction_unavailable"]
    axis.plot(fractions, overall[f"overall_{quality}"], color=DEGRADED, marker="o", ms=4, label="reconstructed")
    guess = (1 - fractions) * available + fractions * default
    axis.plot(fractions, guess, color="#888888", ls="--", label="default prediction")
    axis.axhline(available, color=AVAILABLE, lw=1, label="nothing lost")
    axis.set(xlabel="fraction unavailable f_u", ylabel=f"overall {name} A_o", title=f"Overall {name}")
    axis.legend(frameon=False, loc="lower left")
    clean(axis)
    return figure


def quality_by_answers(by_answers: Mapping[int, float], quality: str, available: float) -> Figure:
    """Quality of what a code over copies of the base model decodes, by how many answers there are.

    Args:
        by_answers: mean quality over all predictions, and over which answers are there, by their number.
        quality: what the task is judged by.
        available: quality of the base model's predictions.
    """
    name = score_name(quality)
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axis = figure.subplots()
    counts = sorted(by_answers)
    axis.plot(counts, [by_answers[count] for count in counts], color=DEGRADED, marker="o", ms=4, label="decoded")
    axis.axhline(available, color=AVAILABLE, lw=1, label="base model")
    axis.set(xlabel="answers that are there", ylabel=name, xticks=counts, title=f"{_sentence(quality)} by answers")
    axis.legend(frameon=False, loc="lower right")
    clean(axis)
    return figure


def groups(examples: Examples, task: Task, mean: Sequence[float], std: Sequence[float]) -> Figure:
    """Coding groups, one a row: queries, parity queries, and what comes back when each prediction is lost.

    Where predictions are places in the image, the base model's own one is drawn with a line, the rebuilt one dashed.
    """
    if examples.texts is not None:
        return text_groups(examples, task)
    rows, k = examples.labels.shape[:2]
    r = examples.parity_queries.shape[1]
    figure = Figure(figsize=(1.55 * (k + r) + 0.3, 1.95 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, k + r, squeeze=False)
    own, back = examples.predictions, examples.decoded
    same = task.scores(back, task.answer(own))["accuracy"] > 0
    for row in range(rows):
        for place in range(k):
            axis = axes[row, place]
            _image(axis, examples.queries[row, place], mean, std)
            _outline(axis, task.outline(own[row, place]), examples.queries, AVAILABLE, "-")
            _outline(axis, task.outline(back[row, place]), examples.queries, DEGRADED, "--")
            text = task.caption(own[row, place], back[row, place], examples.labels[row, place])
            axis.set_xlabel(text, color="#2c6e3f" if same[row, place] else "#b03a2e", fontsize=8)
        for parity in range(r):
            _image(axes[row, k + parity], examples.parity_queries[row, parity], None, None)
    for place in range(k):
        axes[0, place].set_title(f"query {place + 1}", fontsize=9)
    for parity in range(r):
        axes[0, k + parity].set_title(examples.name if r == 1 else f"{examples.name} {parity + 1}", fontsize=9)
    return figure


def text_groups(examples: Examples, task: Task) -> Figure:
    """Coding groups of texts, one a row: how each query begins, and what comes back when its prediction is lost."""
    assert examples.texts is not None
    rows, k = examples.predictions.shape[:2]
    figure = Figure(figsize=(2.4 * k + 0.3, 1.6 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, k, squeeze=False)
    own, back = examples.predictions, examples.decoded
    same = task.scores(back, task.answer(own))["accuracy"] > 0
    for row, place in product(range(rows), range(k)):
        axis = axes[row, place]
        words = wrap(" ".join(examples.texts[row][place].split()).replace("$", r"\$"), 30)
        shown = "\n".join([*words[:LINES], *(["..."] if len(words) > LINES else [])])
        axis.text(0.03, 0.96, shown, va="top", fontsize=7, family="monospace", transform=axis.transAxes)
        axis.set(xticks=[], yticks=[])
        caption = task.caption(own[row, place], back[row, place], examples.labels[row, place])
        axis.set_xlabel(caption, color="#2c6e3f" if same[row, place] else "#b03a2e", fontsize=8)
    for place in range(k):
        axes[0, place].set_title(f"query {place + 1}", fontsize=9)
    return figure


def _image(axis: Axes, image: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """Show one image ``(C, H, W)`` as it was before it was normalised.

    What is no picture in [0, 1], such as a spectrogram or, without mean and std, a parity query, is spread over the
    grey scale.
    """
    pixels = image.float()
    if mean is not None and std is not None:
        pixels = pixels * pixels.new_tensor(std).view(-1, 1, 1) + pixels.new_tensor(mean).view(-1, 1, 1)
    low, high = pixels.min(), pixels.max()
    if mean is None or low < -ROUNDING or high > 1 + ROUNDING:
        pixels = (pixels - low) / (high - low).clamp(min=1e-9)
    array = pixels.clamp(0, 1).permute(1, 2, 0).numpy()
    axis.imshow(array[..., 0] if array.shape[2] == 1 else array, cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])


def _outline(axis: Axes, shares: Sequence[float] | None, images: Tensor, colour: str, style: str) -> None:
    """Draw a rectangle ``(left, top, width, height)``, in shares of the sides of images ``(..., H, W)``."""
    if shares is None:
        return
    left, top, width, height = shares
    rows, columns = images.shape[-2:]
    corner = (left * columns - 0.5, top * rows - 0.5)
    axis.add_patch(Rectangle(corner, width * columns, height * rows, fill=False, ec=colour, ls=style, lw=1.8))


def _sentence(quality: str) -> str:
    name = score_name(quality)
    return name[:1].upper() + name[1:]
