"""Where the config groups are."""

from pathlib import Path

import parity_exp


def config_folder() -> Path:
    """The config groups' folder: beside the package's modules when installed, else at the top of the checkout."""
    package = Path(parity_exp.__file__).parent
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"
