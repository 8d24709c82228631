"""A Hydra callback that writes down what jobs give back to a sweeper."""

from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback


class JobValues(Callback):
    def on_job_end(self, config: Any, job_return: JobReturn, **_: Any) -> None:
        with Path("values.txt").open("a") as stream:
            stream.write(f"{job_return.return_value!r}\n")
