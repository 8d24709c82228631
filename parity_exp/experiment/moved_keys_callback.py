"""Before a job or a sweep begins: what stands in old places of its config goes to the new ones."""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from parity_exp.experiment.moved_keys import move, move_sweep, say


class MovedKeys(Callback):
    """Comes first, so that whoever looks at the config sees it in order."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        say(move(config))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        move_sweep(config)
