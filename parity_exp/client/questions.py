"""What is asked: the queries of a data set as a model takes them, or random ones as its metadata describe it."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from parity_exp.checks import SettingError
from parity_exp.client.asking import MALFORMED, NUMBERS, LostError, ModelFacts, Reply, Tensor, TensorFacts, as_bfloat16
from parity_exp.client.options import Options

RANDOM_QUERIES = 64
"""So many different ones are drawn, where there are no data."""

USUAL = ("input", "FP32")
"""Name and datatype of an input of which the server says nothing."""

Shaped = tuple[TensorFacts, tuple[int, ...], bool]
"""An input, the shape of one query, and whether several can be put together."""


class Questions:
    """Makes the tensors of a request from numbers of queries.

    Args:
        facts: what the server says of the model.
        options: the client's.
        queries: ``(N, *query_shape)``, float32; None: random ones.
        random: for these.

    Attributes:
        count: N.

    Raises:
        SettingError: queries that the model does not take.
    """

    def __init__(
        self,
        facts: ModelFacts,
        options: Options,
        queries: torch.Tensor | None,
        random: np.random.Generator,
    ) -> None:
        self.options = options
        chosen = _chosen(facts, options)
        if queries is not None:
            shaped = [_fitting(facts, chosen, tuple(queries.shape[1:]), options)]
            values = [_as(queries.numpy(), shaped[0][0].datatype)]
        else:
            shaped = [_described(one, options, len(chosen) == 1) for one in chosen]
            values = [_drawn(one.datatype, (RANDOM_QUERIES, *shape), random) for one, shape, _ in shaped]
        self._several = list(zip(shaped, values, strict=True))
        self.count = len(values[0])
        if options.batch > 1 and not all(together for _, _, together in shaped):
            raise SettingError(f"{{batch}}={options.batch}: the model takes one query at a time; give {{batch}}=1")

    def tensors(self, queries: Sequence[int]) -> list[Tensor]:
        """The inputs of a request."""
        places = list(queries)
        return [
            Tensor(one.name, one.datatype, values[places] if together else values[places[0]])
            for (one, _, together), values in self._several
        ]


def prediction_of(reply: Reply, count: int, name: str | None) -> NDArray[Any] | None:
    """The predictions in an answer, ``(count, *out)``; None where it has no numbers.

    Args:
        reply: the answer.
        count: queries that it answers.
        name: of the output; None: the first of numbers.

    Raises:
        LostError: there is no such output, or not for so many.
    """
    if name is not None and name not in reply.outputs:
        raise LostError(MALFORMED, f"no output {name!r} in the answer, which has {', '.join(reply.outputs) or 'none'}")
    named = reply.outputs.get(name) if name is not None else None
    found = named if name is not None else next((one for one in reply.outputs.values() if one is not None), None)
    if found is None:
        return None
    if found.ndim and found.shape[0] == count:
        return found
    if count == 1:
        return found[None]
    raise LostError(MALFORMED, f"an output of shape {list(found.shape)} for {count} queries")


def _chosen(facts: ModelFacts, options: Options) -> list[TensorFacts]:
    """The inputs to send."""
    if options.input is not None:
        found = [one for one in facts.inputs if one.name == options.input]
        if not found and facts.inputs:
            names = ", ".join(one.name for one in facts.inputs)
            raise SettingError(f"{{input}}={options.input}: the model has no such input; it has {names}")
        chosen = found or [TensorFacts(options.input, options.datatype or USUAL[1], ())]
    else:
        # An input of bytes beside one of numbers is another way to say the same, such as raw images.
        chosen = [one for one in facts.inputs if one.datatype in NUMBERS]
        if facts.inputs and not chosen:
            kinds = ", ".join(f"{one.name} ({one.datatype})" for one in facts.inputs)
            raise SettingError(f"{{input}}: the model takes {kinds}, and only numbers can be sent")
        chosen = chosen or [TensorFacts(USUAL[0], options.datatype or USUAL[1], ())]
    if options.datatype is not None:
        chosen = [TensorFacts(one.name, options.datatype, one.shape) for one in chosen]
    for one in chosen:
        if one.datatype not in NUMBERS:
            raise SettingError(f"{{datatype}}={one.datatype}: expected one of {', '.join(NUMBERS)}")
    return chosen


def _fitting(facts: ModelFacts, chosen: Sequence[TensorFacts], shape: tuple[int, ...], options: Options) -> Shaped:
    """The input that takes queries of a shape."""
    for one in chosen:
        for together in (True, False):
            if not one.shape or _fits(one.shape, (options.batch, *shape) if together else shape):
                return one, shape, together
    taken = ", ".join(f"{one.name} {one.datatype} {list(one.shape)}" for one in chosen)
    raise SettingError(
        f"{{queries}}: they have the shape {list(shape)}, and model {facts.name} takes {taken}; choose the data that "
        "it was made for, or none for random numbers"
    )


def _described(one: TensorFacts, options: Options, alone: bool) -> Shaped:
    """The shape of a query, from what the server says."""
    if options.shape is not None and alone:
        shape = tuple(options.shape)
        if one.shape and not _fits(one.shape, (options.batch, *shape)):
            if _fits(one.shape, shape):
                return one, shape, False
            raise SettingError(f"{{shape}}={list(shape)}: input {one.name} has the shape {list(one.shape)}")
        return one, shape, True
    if not one.shape:
        raise SettingError("{shape}: the server does not say what shape queries have; give it, such as [1,28,28]")
    together = one.shape[0] == -1 or one.shape[0] == options.batch
    shape = one.shape[1:] if together else one.shape
    if -1 in shape:
        raise SettingError(f"{{shape}}: input {one.name} has the open shape {list(one.shape)}; give that of one query")
    return one, shape, together


def _fits(there: Sequence[int], given: Sequence[int]) -> bool:
    return len(there) == len(given) and all(one in (-1, other) for one, other in zip(there, given, strict=True))


def _as(values: NDArray[np.float32], datatype: str) -> NDArray[Any]:
    return as_bfloat16(values) if datatype == "BF16" else values.astype(NUMBERS[datatype])


RANDOM: dict[str, Callable[[np.random.Generator, tuple[int, ...]], NDArray[Any]]] = {
    "f": lambda random, shape: random.standard_normal(shape),
    "u": lambda random, shape: random.integers(0, 100, shape),
    "i": lambda random, shape: random.integers(0, 100, shape),
    "b": lambda random, shape: random.integers(0, 2, shape),
}
"""By the kind of a type of numpy."""


def _drawn(datatype: str, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[Any]:
    """Random numbers of a datatype, with no more than can be held."""
    most = 2**26 // max(1, prod(shape[1:]))
    shape = (max(1, min(shape[0], most)), *shape[1:])
    kind = "f" if datatype == "BF16" else NUMBERS[datatype].kind
    return _as(RANDOM[kind](random, shape).astype(np.float32), datatype)
