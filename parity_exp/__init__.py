"""Coded inference experiments: train, evaluate and serve parity models from one composed configuration.

The packages below stand on floors; each imports only from those before it::

    files, devices, process - coding - policies - tasks, data, models - disturbances - load - recordings - tracking -
    training - analysis - scenario - serving - simulation - endpoint - client - experiment - api - doctor - commands

Everything up to ``client`` takes plain Python arguments; ``experiment`` is the floor that knows Hydra's configs.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from parity_exp.moved_modules import find_moved_modules

if TYPE_CHECKING:
    from parity_exp.api.evaluation import evaluate
    from parity_exp.api.reporting import report
    from parity_exp.api.training import train
    from parity_exp.client.session import drive
    from parity_exp.endpoint.session import serve_live
    from parity_exp.serving.session import serve
    from parity_exp.simulation.planning import plan_capacity
    from parity_exp.simulation.session import simulate

# What tqdm says in a notebook without widgets, to whichever library imports it first; its bars do without.
warnings.filterwarnings("ignore", message="IProgress not found")

__version__ = "0.1.0"

__all__ = ["drive", "evaluate", "plan_capacity", "report", "serve", "serve_live", "simulate", "train"]

FUNCTIONS = {
    "drive": "client.session",
    "evaluate": "api.evaluation",
    "plan_capacity": "simulation.planning",
    "report": "api.reporting",
    "serve": "serving.session",
    "serve_live": "endpoint.session",
    "simulate": "simulation.session",
    "train": "api.training",
}
"""The module of each function that programs call: imported when it is asked for, since torch takes seconds."""

find_moved_modules()


def __getattr__(name: str) -> Any:
    if name not in FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{FUNCTIONS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *FUNCTIONS})
