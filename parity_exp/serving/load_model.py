"""Make a model from its config and its checkpoint, in an instance's process.

Apart from the commands, for every instance imports this file, and should not import what trains and draws.
"""

from collections.abc import Mapping
from typing import Any

import hydra.utils
from torch import nn

from parity_exp.models.checkpoint import load_weights


def load_model(
    architecture: Mapping[str, Any],
    shape: tuple[int, ...],
    outputs: int,
    path: str,
    content: bytes | memoryview | None = None,
) -> nn.Module:
    """A network in evaluation mode.

    Args:
        architecture: node of the config group ``architecture``.
        shape: of one query.
        outputs: numbers in one prediction.
        path: the checkpoint.
        content: what is in it, on machines that do not have the file.

    Raises:
        CheckpointError: it is missing, unreadable, or of another network.
    """
    network: nn.Module = hydra.utils.instantiate(architecture, input_shape=shape, outputs=outputs)
    load_weights(path, network, "checkpoint", content)
    return network.eval()
