"""Where Hydra looks for plugins: makes the sweeper of ``hydra/sweeper=optuna`` known to it."""

from parity_exp.experiment.searching import sweeper


class OptunaSweeper(sweeper.OptunaSearch):
    """The sweeper under a name that Hydra takes plugins from."""
