"""Figures are made, with everything that is in them, but not drawn, which takes longer than all the rest of a job."""

import base64
from typing import IO, Any

import pytest

BLANK = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==")
"""A PNG file of one white pixel."""


def blank_figures(patch: pytest.MonkeyPatch) -> None:
    """Have every figure of this process saved as a white pixel."""

    def save(_: object, stream: IO[bytes], **__: Any) -> None:
        stream.write(BLANK)

    patch.setattr("matplotlib.figure.Figure.savefig", save)
