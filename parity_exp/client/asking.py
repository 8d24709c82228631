"""What goes to a server and what comes back, whichever way it goes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

REFUSED, TIMED_OUT, UNREACHABLE, FAILED, REJECTED, MALFORMED = KINDS = (
    "refused", "timed out", "not delivered", "failed", "rejected", "answered in vain",
)  # fmt: skip
"""Why a request has no answer: the server has no room now; it took too long; no connection, or one that broke; an error
of the server's; an error of ours, as it sees it; an answer that is none."""


class LostError(Exception):
    """A request has no answer.

    Args:
        kind: one of :data:`KINDS`.
        text: one line.
        status: of HTTP, or the name of gRPC's; None where the server said nothing.
    """

    def __init__(self, kind: str, text: str, status: int | str | None = None) -> None:
        super().__init__(text)
        self.kind, self.text, self.status = kind, text, status


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        outputs: by name; None where they are no numbers.
        parameters: of the answer.
    """

    outputs: Mapping[str, NDArray[Any] | None]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tensor:
    """An input.

    Attributes:
        name: of the input.
        datatype: as the protocol calls it.
        values: with the shape that is sent; of ``BF16`` its two bytes as ``uint16``.
    """

    name: str
    datatype: str
    values: NDArray[Any]


class Ask:
    """A request under way.

    Attributes:
        payload: what goes over the wire, as :meth:`Client.encoded` made it.
        first: the first of its queries.
        count: how many they are.
        sent_s: when it was handed over, in ``time.monotonic()``.
    """

    __slots__ = ("count", "first", "payload", "sent_s")

    def __init__(self, payload: Any, first: int = 0, count: int = 1, sent_s: float = 0.0) -> None:
        self.payload, self.first, self.count, self.sent_s = payload, first, count, sent_s


Settled = Callable[[Ask, float, Callable[[], Reply] | LostError], None]
"""Is told what became of a request, when, in ``time.monotonic()``, and reads the answer, or why there is none."""


@dataclass(frozen=True)
class TensorFacts:
    """What a server says of an input or output: name, datatype, and shape with -1 for what is open."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelFacts:
    """What a server says of a model; a server may say nothing of its tensors.

    Attributes:
        name: of the model.
        version: that is asked for; empty: the server's choice.
        inputs: its inputs.
        outputs: its outputs.
    """

    name: str
    version: str
    inputs: Sequence[TensorFacts]
    outputs: Sequence[TensorFacts]


class Client(ABC):
    """Asks one server, in one asyncio loop."""

    binary = True
    """Tensors go as bytes."""

    settled: Settled

    @abstractmethod
    async def models(self) -> list[str] | None:
        """Names of the server's models; None where it does not say.

        Raises:
            LostError: it cannot be asked.
        """

    @abstractmethod
    async def model(self, name: str, version: str) -> ModelFacts:
        """What the server says of a model.

        Raises:
            LostError: it cannot be asked, or has none.
        """

    @abstractmethod
    def encoded(self, tensors: Sequence[Tensor], parameters: Mapping[str, float | bool]) -> Any:
        """What goes over the wire for a request to the model that was asked for last."""

    @abstractmethod
    def send(self, ask: Ask) -> None:
        """Send a request; :attr:`settled` is called later."""

    @abstractmethod
    def sweep(self, now_s: float) -> None:
        """Give up what has taken too long; to be called often."""

    @abstractmethod
    async def close(self) -> None:
        """End all connections."""


NUMBERS = {
    "BOOL": np.dtype("?"), "UINT8": np.dtype("<u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"), "INT8": np.dtype("<i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
    "BF16": np.dtype("<u2"),
}  # fmt: skip
"""numpy's name of each type of numbers; of BF16, which numpy does not know, that of its bits."""


def as_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of bfloat16, cut off."""
    return (np.ascontiguousarray(values, "<f4").view("<u4") >> 16).astype("<u2")


def from_bytes(raw: bytes | memoryview, datatype: str, shape: Sequence[int]) -> NDArray[Any] | None:
    """An output from its bytes; None where it is no numbers.

    Raises:
        LostError: other bytes than the shape says.
    """
    kind = NUMBERS.get(datatype)
    if kind is None:
        return None
    try:
        values = np.frombuffer(raw, kind).reshape(tuple(shape))
    except (ValueError, TypeError):
        raise LostError(MALFORMED, f"{len(raw)} bytes of an output of {datatype}, shape {list(shape)}") from None
    return (values.astype("<u4") << 16).view("<f4") if datatype == "BF16" else values
