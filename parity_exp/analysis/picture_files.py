"""Figures as PNG files. Imports nothing but Matplotlib, so that who only draws numbers need not wait for torch."""

import io
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

DPI = 150


def png(figure: Figure) -> bytes:
    """The content of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()


def save(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures as PNG files named after them; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        path.write_bytes(png(figure))
        paths.append(path)
    return paths
