"""Where tensors live, and who moves them: the one rule, and the function that keeps it.

* **At rest, everything lives on the CPU**: data sets, networks, codes, predictions, checkpoints, results, and what goes
  to an instance and comes back from it.
* **Who computes on a device takes it as an argument** and copies what it needs there: tensors by ``tensor.to(device)``,
  networks and codes by :func:`on_device`. What it returns is back on the CPU, unless it says otherwise.
* **Nobody moves what was given.** ``module.to()``, ``module.cpu()`` and ``module.eval()`` change a module for everybody
  who holds it; they are for modules that a function has made itself. :func:`parity_exp.training.fit` is the one
  exception, since it trains what it is given: the module is on the device meanwhile, and comes back to where it was.
  What a model's loader makes in an instance belongs to that instance.
* **A tensor that meets others is made where they are** (``device=other.device``), masks and indices as well. Classes of
  :mod:`parity_exp.coding`, :mod:`parity_exp.tasks` and :mod:`parity_exp.models` so work on whatever device they and
  their arguments are on, and name none.
* **What is random in a result is drawn on the CPU** and moved, so that a seed means the same on every device. Training
  may draw on its device what it needs in every step (orders, dropout), from the run's seed.
"""

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def on_device(module: M, device: torch.device | str) -> M:
    """A copy of a module on a device, in evaluation mode and not to be trained; the given one stays as it is."""
    return copy.deepcopy(module).to(device).eval().requires_grad_(False)


def device_of(module: nn.Module) -> torch.device:
    """Where a module's first parameter or buffer lives; the CPU where it has none."""
    for tensors in (module.parameters(), module.buffers()):
        for tensor in tensors:
            return tensor.device
    return torch.device("cpu")
