"""What axes of all pictures have in common."""

from matplotlib.axes import Axes


def clean(axis: Axes) -> None:
    """No frame but the two axes, and a light grid behind."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25)
