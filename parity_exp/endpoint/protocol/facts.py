"""What clients are told of a model, and what they have to keep to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parity_exp.data import Preparation
from parity_exp.endpoint.protocol.datatypes import (
    BYTES,
    NUMBERS,
    checked_shape,
    elements_of,
    listed_numbers,
    numbers_of,
)
from parity_exp.endpoint.protocol.refused import RefusedError, Why, malformed
from parity_exp.endpoint.protocol.requests import InferRequest, InputTensor, OutputWish, elements_of_json
from parity_exp.errors import DataError

INPUT, OUTPUT = "input", "output"
"""Names of a model's input and output. Raw queries come by another input, which is called what they are."""

PLATFORM = "pytorch_parity_exp"


@dataclass(frozen=True)
class Facts:
    """A model, as the protocol describes it.

    Attributes:
        name: that clients ask for.
        version: likewise.
        query_shape: of one query.
        output_shape: of one prediction.
        labels: of the outputs, where they are classes.
        k: queries in a coding group.
        r: parity queries of a group.
        policy: name of the policy.
        never_exact: every answer is a reconstruction, and none can be exact.
        task: what its outputs are: ``classification``, ``localization``, ``embedding``.
        prepare: brings the bytes of a picture or a text to what the network sees, ``(*query_shape)``; None: it takes
            tensors only.
    """

    name: str
    version: str
    query_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    labels: Sequence[str]
    k: int
    r: int
    policy: str
    never_exact: bool = False
    task: str = ""
    prepare: Preparation | None = None

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The inputs, as metadata list them: one of them is to be sent."""
        found: list[dict[str, Any]] = [{"name": INPUT, "datatype": "FP32", "shape": [-1, *self.query_shape]}]
        if self.prepare is not None:
            found.append({"name": self.prepare.kind, "datatype": BYTES, "shape": [-1]})
        return found

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The outputs, likewise."""
        return [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, *self.output_shape]}]

    @property
    def properties(self) -> dict[str, str]:
        """What is special, as texts."""
        labels = ",".join(label.replace(",", " ") for label in self.labels)
        return {"k": str(self.k), "r": str(self.r), "policy": self.policy, "task": self.task, "labels": labels}

    def metadata(self, versions: Sequence[str]) -> dict[str, Any]:
        """What REST says of the model."""
        return {
            "name": self.name,
            "versions": list(versions),
            "platform": PLATFORM,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "properties": self.properties,
            "parameters": {
                "k": self.k,
                "r": self.r,
                "policy": self.policy,
                "task": self.task,
                "labels": list(self.labels),
            },
        }

    def config(self, batch: int) -> dict[str, Any]:
        """What Triton's extension for configurations says of the model; shapes are of one query.

        Args:
            batch: queries in a request at most.
        """
        inputs = [{"name": INPUT, "data_type": "TYPE_FP32", "dims": list(self.query_shape), "optional": False}]
        if self.prepare is not None:
            inputs.append({"name": self.prepare.kind, "data_type": "TYPE_STRING", "dims": [1], "optional": True})
        return {
            "name": self.name,
            "platform": PLATFORM,
            "backend": "parity_exp",
            "max_batch_size": batch,
            "input": inputs,
            "output": [{"name": OUTPUT, "data_type": "TYPE_FP32", "dims": list(self.output_shape)}],
            "parameters": {name: {"string_value": value} for name, value in self.properties.items()},
        }

    # ---- from requests to tensors

    def prepares(self, request: InferRequest) -> bool:
        """Whether a request brings raw queries, which take a while to become tensors."""
        return self.prepare is not None and any(one.name == self.prepare.kind for one in request.inputs)

    def tensor(self, request: InferRequest, batch: int) -> Tensor:
        """What a request asks, ``(n, *query_shape)``, float32.

        Args:
            request: the request.
            batch: queries in it at most.

        Raises:
            RefusedError: it asks what cannot be answered.
        """
        if request.exact and self.never_exact:
            raise malformed(f"exact: policy {self.policy} decodes every answer, and has no exact ones")
        for wish in request.outputs:
            self._check_output(wish)
        names = [one.name for one in request.inputs]
        if len(names) != 1 or names[0] not in [one["name"] for one in self.inputs]:
            taken = " or ".join(repr(one["name"]) for one in self.inputs)
            raise malformed(f"inputs: {str(names)[:200]}; expected one, {taken}")
        (given,) = request.inputs
        values = self._numbers(given, batch) if given.name == INPUT else self._raw(given, batch)
        if not np.isfinite(values.numpy()).all():
            raise malformed(f"input {given.name!r}: it has values that are no finite numbers")
        return values

    def _numbers(self, given: InputTensor, batch: int) -> Tensor:
        shape = checked_shape(given.shape, given.name)
        if given.datatype not in NUMBERS:
            raise malformed(f"input {given.name!r}: datatype {given.datatype[:40]!r}; expected FP32")
        if shape == self.query_shape:
            shape = (1, *shape)
        if shape[1:] != self.query_shape:
            raise malformed(f"input {given.name!r}: shape {list(shape)}; expected {[-1, *self.query_shape]}")
        self._check_batch(shape[0], batch)
        if given.raw is not None:
            return torch.from_numpy(numbers_of(given.raw, given.datatype, shape, given.name))
        return torch.from_numpy(listed_numbers(given.data, shape, given.name))

    def _raw(self, given: InputTensor, batch: int) -> Tensor:
        assert self.prepare is not None
        shape = checked_shape(given.shape, given.name)
        if given.datatype != BYTES or len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
            raise malformed(f"input {given.name!r}: expected BYTES of shape [-1], one {self.prepare.kind} each")
        self._check_batch(shape[0], batch)
        if given.raw is not None:
            elements = elements_of(given.raw, shape[0], given.name)
        elif isinstance(given.data, tuple):  # of gRPC, which has bytes
            elements = list(given.data)
        else:
            elements = elements_of_json(given.data, given.name, self.prepare.kind == "text")
        if len(elements) != shape[0]:
            raise malformed(f"input {given.name!r}: {len(elements)} elements, and its shape has {shape[0]}")
        return torch.stack([self._prepared(given, number, one) for number, one in enumerate(elements)])

    def _prepared(self, given: InputTensor, number: int, element: bytes) -> Tensor:
        assert self.prepare is not None
        try:
            return self.prepare.read(element)
        except DataError as error:
            raise malformed(f"input {given.name!r}: element {number} {str(error)[:200]}") from None

    def _check_batch(self, queries: int, most: int) -> None:
        if queries > most:
            raise RefusedError(Why.TOO_LARGE, f"{queries} queries in a request; at most {most}")

    def _check_output(self, wish: OutputWish) -> None:
        if wish.name != OUTPUT:
            raise malformed(f"outputs: {wish.name[:200]!r}; expected {OUTPUT!r}")
        if wish.classes and len(self.output_shape) != 1:
            raise malformed("classification: its outputs are not classes")

    # ---- from predictions to answers

    def classes(self, predictions: NDArray[np.float32], count: int) -> list[bytes]:
        """Of each prediction the greatest so many outputs, as ``value:index:label``."""
        found: list[bytes] = []
        for row in predictions:
            for index in np.argsort(-row, kind="stable")[:count]:
                label = f":{self.labels[index]}" if self.labels else ""
                found.append(f"{row[index]:f}:{index}{label}".encode())
        return found
