"""What an answer looks like over REST: JSON, and behind it the bytes of tensors."""

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from parity_exp.endpoint.asked import Asked
from parity_exp.endpoint.protocol.datatypes import BYTES, packed
from parity_exp.endpoint.protocol.facts import OUTPUT, Facts
from parity_exp.endpoint.protocol.requests import InferRequest, OutputWish

ALL = (OutputWish(OUTPUT),)
"""What a client gets that does not say what it wants."""


def parameters_of(asked: Asked) -> dict[str, str | int | float]:
    """Where the answers came from: the source, the instance, and how long it took in milliseconds."""
    return {"source": asked.source, "instance": asked.instance, "latency_ms": round(asked.latency_ms, 4)}


def stacked(asked: Asked) -> NDArray[np.float32]:
    """All predictions, ``(n, *out)``."""
    rows = [row for row in asked.predictions if row is not None]
    return rows[0][np.newaxis] if len(rows) == 1 else np.stack(rows)


def write_json(facts: Facts, request: InferRequest, asked: Asked) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where bytes follow."""
    predictions = stacked(asked)
    outputs: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for wish in request.outputs or ALL:
        binary = request.binary if wish.binary is None else wish.binary
        shape = list(predictions.shape)
        if wish.classes:
            count = min(wish.classes, predictions.shape[1])
            elements = facts.classes(predictions, count)
            one: dict[str, Any] = {"name": OUTPUT, "datatype": BYTES, "shape": [shape[0], count]}
            raw = packed(elements) if binary else b""
            listed: Any = None if binary else [element.decode(errors="replace") for element in elements]
        else:
            one = {"name": OUTPUT, "datatype": "FP32", "shape": shape}
            raw = predictions.tobytes() if binary else b""
            listed = None if binary else np.ascontiguousarray(predictions).ravel()
        if binary:
            one["parameters"] = {"binary_data_size": len(raw)}
            behind.append(raw)
        else:
            one["data"] = listed
        outputs.append(one)
    answer: dict[str, Any] = {"model_name": facts.name, "model_version": facts.version}
    if request.id:
        answer["id"] = request.id
    answer |= {"parameters": parameters_of(asked), "outputs": outputs}
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)  # numbers that are not finite are null
    return (b"".join([head, *behind]), len(head)) if behind else (head, None)
