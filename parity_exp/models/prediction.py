"""Run a network over many inputs without learning anything from them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from parity_exp.devices.memory import samples_at_once
from parity_exp.devices.placement import on_device


@torch.no_grad()
def predict(
    network: nn.Module,
    inputs: Tensor,
    device: torch.device,
    batch_size: int = 1_000,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The network's outputs in evaluation mode, ``(N, *in) -> (N, *out)``, on ``device`` and in float32.

    A copy of the network predicts; the given one stays where and as it is.

    Args:
        network: what predicts.
        inputs: ``(N, *in)``.
        device: where it runs.
        batch_size: inputs at once on a processor, at most; see :func:`parity_exp.devices.memory.samples_at_once`.
        prepare: done to each batch on the device before the network sees it, such as normalisation, so that the
            inputs need not lie in memory a second time.
    """
    network = on_device(network, device)
    batches = (batch.to(device) for batch in inputs.split(samples_at_once(inputs.shape[1:], batch_size, device)))
    return torch.cat([network(prepare(batch) if prepare else batch).float() for batch in batches])
