"""Encode and decode one coding group at a time while serving, and say how long it takes."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from parity_exp.coding import Code, NonSystematicCode
from parity_exp.devices.placement import on_device
from parity_exp.policies.desk import Response
from parity_exp.policies.policy import Group, Work


class GroupCoder(ABC):
    """A code's hand in serving: works element by element, as batches of a group are encoded.

    Args:
        code: says what is encoded how; on the CPU, in evaluation mode.
        batch_size: queries in a batch at most.

    Attributes:
        encode_s: how long each encoding of a group's parity query took, all elements.
        decode_s: how long each decoding took.
    """

    def __init__(self, code: Code | NonSystematicCode, batch_size: int) -> None:
        self.encode_s: list[float] = []
        self.decode_s: list[float] = []
        self.batch_size = batch_size
        self._encoder = code
        self._parity_queries: Tensor | None = None

    def encode(self, group: Group, row: int, query_of: Callable[[int], Tensor]) -> Tensor:
        """The parity query of a row for each element of a group's batches.

        Args:
            group: whose batches, by the numbers of their queries; the last of a shorter one stands in where the group
                has more elements, and the last batch where it has fewer than k.
            row: row of the generator matrix, or number of the coded query.
            query_of: what a query asks by its number, ``(*query_shape)``.

        Returns:
            ``(elements, *parity_shape)``, valid until the next call.
        """
        if self._parity_queries is None:
            # Parity queries are copied on their way to an instance, so that one place to put them serves all.
            shape = query_of(group.members[0].queries[0]).shape
            self._parity_queries = torch.zeros(self.batch_size, *self._encoder.coded_shape(shape))
        started_s = time.perf_counter()
        for element in range(group.elements):
            members = [query_of(batch.queries[min(element, len(batch) - 1)]) for batch in group.members]
            members += members[-1:] * (self._encoder.k - len(members))
            self._encoder.encode_group(members, row, self._parity_queries[element])
        self.encode_s.append(time.perf_counter() - started_s)
        return self._parity_queries[: group.elements]

    @abstractmethod
    def decode(self, response: Response, element: int) -> Tensor:
        """The reconstructed prediction of one element, ``(*output_shape)``."""

    def read(self, response: Response) -> Sequence[Work | None]:
        """What a reconstruction is made of; None where it has not come."""
        return (*response.own, *response.parities)


def coder_of(code: Code | NonSystematicCode, batch_size: int) -> GroupCoder:
    """The coder of a code, for batches of so many queries at most."""
    return ParityGroupCoder(code, batch_size) if isinstance(code, Code) else WholeGroupCoder(code, batch_size)


class ParityGroupCoder(GroupCoder):
    """Reconstructs one prediction at a time from own predictions and parity outputs; ``decode_s`` has each."""

    def __init__(self, code: Code, batch_size: int) -> None:
        self.code = on_device(code, "cpu")
        super().__init__(self.code, batch_size)

    def decode(self, response: Response, element: int) -> Tensor:
        started_s = time.perf_counter()
        own = [None if task is None else task.result[element] for task in response.own]
        parities = [None if task is None else task.result[element] for task in response.parities]
        decoded = self.code.decoder.decode_group(own, parities, response.place)
        self.decode_s.append(time.perf_counter() - started_s)
        return decoded

    def read(self, response: Response) -> Sequence[Work | None]:
        return super().read(response) if self.code.decoder.reads_predictions else response.parities


class WholeGroupCoder(GroupCoder):
    """Decodes all predictions of a group of a non-systematic code at once; ``decode_s`` has each group's elements."""

    def __init__(self, code: NonSystematicCode, batch_size: int) -> None:
        self.code = on_device(code, "cpu")
        super().__init__(self.code, batch_size)
        self._group = -1
        self._decoded: dict[int, Tensor] = {}

    def decode(self, response: Response, element: int) -> Tensor:
        if response.group != self._group:
            self._group = response.group
            self._decoded = {}
        decoded = self._decoded.get(element)
        if decoded is None:
            started_s = time.perf_counter()
            answers = [None if task is None else task.result[element] for task in response.parities]
            decoded = self._decoded[element] = self.code.decode_group(answers)
            self.decode_s.append(time.perf_counter() - started_s)
        return decoded[response.place]
