"""Figures as PNG files. Imports nothing but Matplotlib, so that who only draws numbers need not wait for torch."""

import io
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axis import Axis
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from parity_exp.files.writing import write_bytes

WORDS = (FixedFormatter, FuncFormatter, StrCategoryFormatter)
"""What labels axes with words; other axes have numbers, which Matplotlib writes as formulas."""

DPI = 150


def png(figure: Figure) -> bytes:
    """The content of a PNG file."""
    _take_words_for_words(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()


def save(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures as PNG files named after them; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        write_bytes(path, png(figure))
        paths.append(path)
    return paths


def _take_words_for_words(figure: Figure) -> None:
    """Have all text shown as it is: what people call a policy or a class is no formula, dollar signs or not."""
    axes = [axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
    for axis in axes:
        axis.get_major_ticks(len(axis.get_majorticklocs()))  # those that are missing would be made while drawing
    numbers = {text for axis in axes if not isinstance(axis.get_major_formatter(), WORDS) for text in _labels(axis)}
    for text in figure.findobj(Text):
        if text not in numbers:
            text.set_parse_math(False)


def _labels(axis: Axis) -> list[Text]:
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [axis.get_offset_text(), *(text for tick in ticks for text in (tick.label1, tick.label2))]
