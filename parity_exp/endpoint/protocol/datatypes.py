"""Tensors as the protocol has them: names of types, numbers in little-endian bytes, and elements of bytes."""

import struct
from math import prod

import numpy as np
from numpy.typing import NDArray

from parity_exp.endpoint.protocol.refused import malformed

NUMBERS = {
    "FP32": "<f4", "FP64": "<f8", "FP16": "<f2", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
"""numpy's name of each type of numbers that a query may have."""

BYTES = "BYTES"

MOST_DIMENSIONS = 16

_LENGTH = struct.Struct("<I")


def checked_shape(shape: object, name: str) -> tuple[int, ...]:
    """A shape, where it is one.

    Raises:
        RefusedError: it is not.
    """
    if not isinstance(shape, list | tuple) or not 1 <= len(shape) <= MOST_DIMENSIONS:
        raise malformed(f"input {name!r}: its shape is to be a list of 1 to {MOST_DIMENSIONS} numbers")
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size < 2**31:
            raise malformed(f"input {name!r}: its shape is to be of whole numbers above 0")
    return tuple(shape)


def numbers_of(raw: bytes | memoryview, datatype: str, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    """Numbers from bytes, ``shape``, float32.

    Raises:
        RefusedError: other bytes than the shape says.
    """
    kind = np.dtype(NUMBERS[datatype])
    wanted = prod(shape) * kind.itemsize
    if len(raw) != wanted:
        raise malformed(f"input {name!r}: {len(raw)} bytes, and {datatype} of shape {list(shape)} are {wanted}")
    if kind == np.float32:
        return np.frombuffer(raw, kind).reshape(shape).astype(np.float32)
    with np.errstate(over="ignore"):  # what becomes infinite is refused later
        return np.frombuffer(raw, kind).reshape(shape).astype(np.float32)


def listed_numbers(data: object, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    """Numbers from lists of JSON, flat or nested, ``shape``, float32.

    Raises:
        RefusedError: they are no numbers, or not as many as the shape says.
    """
    try:
        found = np.asarray(data)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise malformed(f"input {name!r}: its data are lists of different lengths") from None
    if found.dtype.kind not in "iuf":
        raise malformed(f"input {name!r}: its data are to be numbers")
    if found.size != prod(shape):
        raise malformed(f"input {name!r}: {found.size} numbers, and its shape {list(shape)} has {prod(shape)}")
    with np.errstate(over="ignore"):
        return found.reshape(shape).astype(np.float32)


def elements_of(raw: bytes | memoryview, count: int, name: str) -> list[bytes]:
    """Elements of bytes, each behind its length in four bytes.

    Raises:
        RefusedError: there are not so many.
    """
    found: list[bytes] = []
    at, view = 0, memoryview(raw)
    while at < len(view):
        if len(found) == count or at + _LENGTH.size > len(view):
            raise malformed(f"input {name!r}: its bytes are not {count} elements, each behind its length")
        (length,) = _LENGTH.unpack_from(view, at)
        at += _LENGTH.size
        if at + length > len(view):
            raise malformed(f"input {name!r}: an element of {length} bytes, and {len(view) - at} are left")
        found.append(bytes(view[at : at + length]))
        at += length
    if len(found) != count:
        raise malformed(f"input {name!r}: {len(found)} elements, and its shape has {count}")
    return found


def packed(elements: list[bytes]) -> bytes:
    """Elements of bytes, each behind its length: what :func:`elements_of` reads."""
    return b"".join(_LENGTH.pack(len(element)) + element for element in elements)
