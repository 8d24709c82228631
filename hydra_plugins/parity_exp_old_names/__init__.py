"""Where Hydra looks for plugins: lets experiments be called by their names of earlier releases."""

from parity_exp.experiment import old_names


class OldNamesSource(old_names.OldNamesSource):
    """The source of such configs under a name that Hydra takes plugins from."""


class OldNamesSearchPath(old_names.OldNamesSearchPath):
    """What makes Hydra look there."""
