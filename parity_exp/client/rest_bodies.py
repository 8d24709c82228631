"""Bodies of REST: requests to JSON and the bytes behind it, answers back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parity_exp.client.asking import MALFORMED, NUMBERS, LostError, Reply, Tensor, from_bytes


def write_request(
    tensors: Sequence[Tensor], parameters: Mapping[str, float | bool], binary: bool
) -> tuple[bytes, int | None]:
    """The body of a request, and the length of its JSON where bytes follow."""
    inputs: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for one in tensors:
        node: dict[str, Any] = {"name": one.name, "datatype": one.datatype, "shape": list(one.values.shape)}
        if binary:
            raw = np.ascontiguousarray(one.values).tobytes()
            node["parameters"] = {"binary_data_size": len(raw)}
            behind.append(raw)
        else:
            node["data"] = one.values.ravel().tolist()
        inputs.append(node)
    request: dict[str, Any] = {"inputs": inputs}
    every = {**parameters, **({"binary_data_output": True} if binary else {})}
    if every:
        request["parameters"] = every
    head = json.dumps(request, separators=(",", ":")).encode()
    return (b"".join([head, *behind]), len(head)) if binary else (head, None)


def read_answer(body: bytes | bytearray, header_length: int | None) -> Reply:
    """An answer.

    Raises:
        LostError: it is none.
    """
    view = memoryview(body)
    try:
        head = json.loads(bytes(view if header_length is None else view[:header_length]))
        rest = memoryview(b"") if header_length is None else view[header_length:]
        outputs: dict[str, NDArray[Any] | None] = {}
        for node in head["outputs"]:
            size = (node.get("parameters") or {}).get("binary_data_size")
            if size is None:
                outputs[str(node["name"])] = _listed(node)
            else:
                outputs[str(node["name"])] = from_bytes(rest[:size], node["datatype"], node["shape"])
                rest = rest[size:]
        return Reply(outputs, head.get("parameters") or {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LostError(
            MALFORMED, f"an answer that is none of the protocol ({type(error).__name__}: {error})"
        ) from None


def _listed(node: Mapping[str, Any]) -> NDArray[Any] | None:
    if node["datatype"] not in NUMBERS:
        return None
    values = np.asarray(node["data"], dtype=np.float64)  # None, which JSON has for what is not finite, becomes NaN
    return values.reshape(tuple(node["shape"]))
