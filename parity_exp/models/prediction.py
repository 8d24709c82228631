"""Run a network over many inputs without learning anything from them."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def predict(network: nn.Module, inputs: Tensor, device: torch.device, batch_size: int = 1_000) -> Tensor:
    """The network's outputs in evaluation mode, ``(N, *in) -> (N, *out)``, on ``device`` and in float32.

    The network is moved to the device and left in evaluation mode.
    """
    network.to(device).eval()
    return torch.cat([network(batch.to(device)).float() for batch in inputs.split(batch_size)])
