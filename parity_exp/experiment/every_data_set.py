"""Every data set that can be chosen, as an object."""

from collections.abc import Iterator, Sequence

from hydra import compose
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from parity_exp.data import Dataset
from parity_exp.errors import UserError
from parity_exp.experiment.components import build
from parity_exp.experiment.composing import composed
from parity_exp.experiment.config_folder import config_folder

GROUP = "dataset"


def every_data_set(overrides: Sequence[str]) -> Iterator[tuple[str, Dataset | Exception]]:
    """The choices of ``dataset``, each with its object, or with why there is none.

    Args:
        overrides: a command line's; those of ``dataset.`` hold for all.
    """
    own = [f"++{word}" for word in overrides if word.startswith(f"{GROUP}.")]
    with composed(config_folder(), overrides) as there:
        for name in there.choices(GROUP):
            try:
                # The choice's file alone: composing all of the config for each would take seconds.
                yield name, build(compose(f"{GROUP}/{name}", own)[GROUP], GROUP)
            except (UserError, HydraException, OmegaConfBaseException) as error:
                yield name, error
