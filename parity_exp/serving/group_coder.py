"""Encode and decode one coding group at a time while serving, and say how long it takes."""

import time
from statistics import median

import torch
from torch import Tensor

from parity_exp.coding import Code
from parity_exp.serving.desk import Response
from parity_exp.serving.policy import Group


class GroupCoder:
    """A code's hand in serving: works element by element, as batches of a group are encoded.

    Args:
        code: encoder and decoder.
        batch_size: queries in a batch at most.

    Attributes:
        encode_s: how long each encoding of a group's parity query took, all elements.
        decode_s: how long each reconstruction of a prediction took.
    """

    def __init__(self, code: Code, batch_size: int) -> None:
        self.code = code.cpu().eval()
        self.encode_s: list[float] = []
        self.decode_s: list[float] = []
        # Parity queries are copied on their way to an instance, so that one place to put them serves all.
        self._parity_queries = torch.zeros(batch_size, *code.encoder.parity_shape)

    def encode(self, group: Group, row: int, queries: Tensor, sample_of: list[int]) -> Tensor:
        """The parity query of a row for each element of a group's batches.

        Args:
            group: whose batches, by the numbers of their queries.
            row: row of the generator matrix.
            queries: ``(N, *query_shape)``.
            sample_of: the row of ``queries`` that each query is.

        Returns:
            ``(elements, *parity_shape)``, valid until the next call.
        """
        started_s = time.perf_counter()
        for element in range(group.elements):
            members = [queries[sample_of[batch.queries[element]]] for batch in group.members]
            self.code.encoder.encode_group(members, row, self._parity_queries[element])
        self.encode_s.append(time.perf_counter() - started_s)
        return self._parity_queries[: group.elements]

    def decode(self, response: Response, element: int) -> Tensor:
        """The reconstructed prediction of one element, ``(*output_shape)``."""
        started_s = time.perf_counter()
        own = [None if task is None else task.result[element] for task in response.own]
        parities = [None if task is None else task.result[element] for task in response.parities]
        decoded = self.code.decoder.decode_group(own, parities, response.place)
        self.decode_s.append(time.perf_counter() - started_s)
        return decoded

    def metrics(self) -> dict[str, float]:
        """Medians in microseconds, and sums in seconds; without an encoding or a reconstruction there is none."""
        times = {name: values for name, values in (("encode", self.encode_s), ("decode", self.decode_s)) if values}
        medians = {f"{name}_us": median(values) * 1e6 for name, values in times.items()}
        return medians | {f"{name}_s": sum(values) for name, values in times.items()}
