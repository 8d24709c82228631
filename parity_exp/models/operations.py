"""How many operations a network takes: a multiplication and an addition are two."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def operations(network: nn.Module, shape: Sequence[int]) -> int:
    """Operations of convolutions, products of matrices and attention for one query of a shape, in evaluation mode.

    Every part's mode is afterwards what it was; it may be on the meta device, where nothing is computed.
    """
    training = [part for part in network.modules() if part.training]
    device = next((weight.device for weight in network.parameters()), torch.device("cpu"))
    try:
        network.eval()
        return operations_of(lambda: network(torch.zeros(1, *shape, device=device)))
    finally:
        for part in training:
            part.training = True


def operations_of(run: Callable[[], object]) -> int:
    """Operations of what a function does.

    Attention is done in its plain form meanwhile: a counter does not see what the fused ones do on a processor, nor
    what ``nn.MultiheadAttention`` does in its shortcut for evaluation.
    """
    with _plain_attention(), FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return int(counter.get_total_flops())


@contextmanager
def _plain_attention() -> Iterator[None]:
    shortcut = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(shortcut)
