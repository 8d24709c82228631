"""A backup that runs k queries in one task: made small, laid side by side, and each answered from its own place."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from parity_exp.coding.code import Code
from parity_exp.coding.concatenation import ConcatenationEncoder
from parity_exp.coding.encoder import Encoder
from parity_exp.coding.places import PlacesDecoder
from parity_exp.coding.side_by_side import SideBySideEncoder
from parity_exp.models.places import PlacesApart


class Multiplexed(nn.Module):
    """Runs k consecutive queries in one pass of a network that keeps places apart.

    Queries i k, ..., i k + k - 1 of a batch make pass i: images are resized to a cell of the grid
    (:class:`~parity_exp.coding.ConcatenationEncoder`: antialiased bilinear), and the k cells are laid side by side in
    an image of one query's size; of texts the token ids are laid one after the other
    (:class:`~parity_exp.coding.SideBySideEncoder`), and the network merges each k neighbouring tokens. It gives a
    prediction for each place. The last query stands in for what the last pass lacks. A pass costs about what one of the
    base model costs, so that a query costs 1/k of that.

    It is trained on queries, labels and, with distillation, the base model's predictions of the same queries. Nothing
    of it depends on what became of other predictions.

    Args:
        network: ``(B, *parity_query)`` to ``(B, k * outputs)``.
        encoder: lays k queries side by side.

    Shapes: ``(N, *query) -> (N, outputs)``.
    """

    def __init__(self, network: PlacesApart, encoder: Encoder) -> None:
        super().__init__()
        self.network = network
        self.encoder = encoder

    def start_from(self, base: nn.Module) -> None:
        """Take the base model's weights, as far as they fit; see :meth:`PlacesApart.start_from`."""
        self.network.start_from(base, self.encoder.query_shape)

    def forward(self, queries: Tensor) -> Tensor:
        count, k = len(queries), self.encoder.k
        lacking = -count % k
        if lacking:
            queries = torch.cat([queries, queries[-1:].expand(lacking, *queries.shape[1:])])
        together = self.encoder.encode(queries.unflatten(0, (-1, k)))[:, 0]
        outputs: Tensor = self.network(together)
        return outputs.view(len(queries), -1)[:count]


def multiplexing(k: int, query_shape: Sequence[int], outputs: int, tokens: bool = False) -> Code:
    """What lays k queries side by side and tells their predictions apart, as one object: for who serves a group.

    Args:
        k: queries in a task.
        query_shape: ``(C, H, W)``, or ``(L,)`` of token ids.
        outputs: numbers in one prediction.
        tokens: whether queries are token ids.

    Raises:
        ValueError: queries that are neither images nor token ids, or too small for k places.
    """
    encoder = SideBySideEncoder if tokens else ConcatenationEncoder
    return Code(encoder(k, 1, query_shape), PlacesDecoder(k, 1, (outputs,)))
