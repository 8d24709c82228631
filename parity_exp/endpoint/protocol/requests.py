"""What an inference request says, whichever way it came; nothing of it is trusted."""

import base64
import binascii
import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from parity_exp.endpoint.protocol.refused import malformed

MOST_TEXT = 1024
"""Longest name and id."""

MOST_TENSORS = 64


@dataclass(frozen=True, slots=True)
class InputTensor:
    """A tensor that a client sends.

    Attributes:
        name: of the input.
        datatype: as the protocol calls it.
        shape: as it was sent, not yet looked at.
        raw: its bytes; None where it has ``data``.
        data: lists of JSON, or a tuple of elements of bytes.
    """

    name: str
    datatype: str
    shape: Any
    raw: bytes | memoryview | None
    data: Any = None


@dataclass(frozen=True, slots=True)
class OutputWish:
    """An output that a client wants.

    Attributes:
        name: of the output.
        binary: as bytes behind the JSON; None: as the request says of all.
        classes: in the place of the numbers so many of the greatest, with their labels; 0: the numbers.
    """

    name: str
    binary: bool | None = None
    classes: int = 0


@dataclass(frozen=True, slots=True)
class InferRequest:
    """An inference request.

    Attributes:
        id: the client's, which it gets back.
        inputs: the tensors.
        outputs: those that it wants; empty: all.
        deadline_ms: after its arrival it is of no more use; None: it did not say.
        exact: only the base model's own predictions will do.
        binary: outputs go as bytes where nothing else is said of them.
    """

    id: str = ""
    inputs: tuple[InputTensor, ...] = ()
    outputs: tuple[OutputWish, ...] = ()
    deadline_ms: float | None = None
    exact: bool = False
    binary: bool = False


def read_json(body: bytes | bytearray, header_length: int | None) -> InferRequest:
    """A request of REST.

    Args:
        body: JSON, and behind it the bytes of tensors.
        header_length: of the JSON; None: all of it.

    Raises:
        RefusedError: it is not one.
    """
    view = memoryview(body)
    end = len(view) if header_length is None else header_length
    if not 0 <= end <= len(view):
        raise malformed(f"Inference-Header-Content-Length: {header_length}, and the body has {len(view)} bytes")
    try:
        head = orjson.loads(view[:end])
    except ValueError as error:
        raise malformed(f"the request is no JSON: {str(error)[:200]}") from None
    if not isinstance(head, dict):
        raise malformed("the request is to be a JSON object")
    rest = view[end:]
    inputs: list[InputTensor] = []
    for one in _objects(head, "inputs"):
        tensor, size = _input(one, rest)
        rest = rest[size:]
        inputs.append(tensor)
    if len(rest):
        raise malformed(f"{len(rest)} bytes behind those of the inputs")
    parameters = _parameters(head, "the request")
    return InferRequest(
        id=text_of(head.get("id", ""), "id"),
        inputs=tuple(inputs),
        outputs=tuple(_output(one) for one in _objects(head, "outputs")),
        binary=_flag(parameters, "binary_data_output") is True,
        **wishes_of(parameters),
    )


def wishes_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What the parameters of a request ask for, as arguments of :class:`InferRequest`.

    Raises:
        RefusedError: values that cannot be.
    """
    deadline_ms = parameters.get("deadline_ms")
    if deadline_ms is not None:
        number = math.nan
        if isinstance(deadline_ms, int | float | str) and not isinstance(deadline_ms, bool):
            with contextlib.suppress(ValueError, OverflowError):
                number = float(deadline_ms)
        if not 0 < number < math.inf:
            raise malformed("deadline_ms: expected a number of milliseconds above 0")
        deadline_ms = number
    return {"deadline_ms": deadline_ms, "exact": _flag(parameters, "exact") is True}


def text_of(value: object, what: str) -> str:
    """A short text.

    Raises:
        RefusedError: it is none.
    """
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise malformed(f"{what}: expected a text of at most {MOST_TEXT} characters")
    return value


def elements_of_json(data: object, name: str, texts: bool) -> list[bytes]:
    """Elements of bytes, which JSON has as texts.

    Args:
        data: of the input.
        name: of the input.
        texts: they are what is meant; otherwise they are bytes in base64.

    Raises:
        RefusedError: they are not.
    """
    said = "texts" if texts else "texts in base64; or send them as binary data"
    wanted = malformed(f"input {name!r}: in JSON its data are to be a list of {said}")
    if not isinstance(data, list):
        raise wanted
    if all(isinstance(one, list) and len(one) == 1 for one in data):
        data = [one[0] for one in data]  # of shape [-1, 1]
    if not all(isinstance(one, str) for one in data):
        raise wanted
    if texts:
        return [one.encode(errors="surrogatepass") for one in data]
    try:
        return [base64.b64decode(one, validate=True) for one in data]
    except (binascii.Error, ValueError):
        raise wanted from None


def class_count(parameters: Mapping[str, Any]) -> int:
    """How many of the greatest classes an output is to be; 0: it is to be numbers.

    Raises:
        RefusedError: a number that cannot be.
    """
    count = parameters.get("classification", 0)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 2**31:
        raise malformed("classification: expected a number of classes")
    return count


def _objects(head: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = head.get(key, [])
    if not isinstance(found, list) or len(found) > MOST_TENSORS or not all(isinstance(one, dict) for one in found):
        raise malformed(f"{key}: expected a list of at most {MOST_TENSORS} objects")
    return found


def _parameters(node: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    found = node.get("parameters") or {}
    if not isinstance(found, dict):
        raise malformed(f"parameters of {what}: expected an object")
    return found


def _flag(parameters: Mapping[str, Any], name: str) -> bool | None:
    value = parameters.get(name)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value is not None and not isinstance(value, bool):
        raise malformed(f"{name}: expected true or false")
    return value


def _input(node: dict[str, Any], rest: memoryview) -> tuple[InputTensor, int]:
    """A tensor, and how many of the bytes behind the JSON are its own."""
    name = text_of(node.get("name"), "name of an input")
    datatype = text_of(node.get("datatype"), f"datatype of input {name!r}")
    size = _parameters(node, f"input {name!r}").get("binary_data_size")
    if size is None:
        if "data" not in node:
            raise malformed(f"input {name!r}: it has no data")
        return InputTensor(name, datatype, node.get("shape"), None, node["data"]), 0
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(rest):
        raise malformed(f"input {name!r}: binary_data_size={str(size)[:40]}, and {len(rest)} bytes are left")
    return InputTensor(name, datatype, node.get("shape"), rest[:size]), size


def _output(node: dict[str, Any]) -> OutputWish:
    name = text_of(node.get("name"), "name of an output")
    parameters = _parameters(node, f"output {name!r}")
    return OutputWish(name, _flag(parameters, "binary_data"), class_count(parameters))
