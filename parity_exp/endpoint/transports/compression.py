"""Bodies that are compressed, as far as they stay within bounds when they are not."""

import gzip
import zlib

from parity_exp.endpoint.protocol.refused import RefusedError, Why, malformed

WINDOW = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
"""zlib's number for each encoding."""

LEVEL = 1


def decompressed(body: bytes | bytearray, encoding: bytes, most: int) -> bytes:
    """A body as it was before it was compressed.

    Raises:
        RefusedError: another encoding, damaged, or longer than ``most`` bytes.
    """
    if encoding not in WINDOW:
        raise RefusedError(Why.ENCODING, f"Content-Encoding: {encoding[:40]!r}; expected gzip or deflate")
    engine = zlib.decompressobj(WINDOW[encoding])
    try:
        found = engine.decompress(body, most + 1)
    except zlib.error as error:
        raise malformed(f"the body is no {encoding.decode()}: {error}") from None
    if len(found) > most:
        raise RefusedError(Why.TOO_LARGE, f"the body has more than {most} bytes when it is decompressed")
    if not engine.eof:
        raise malformed(f"the body is no whole {encoding.decode()}")
    return found


def wanted_encoding(accepted: bytes | None) -> bytes | None:
    """The encoding that a client wants an answer in; None: as it is."""
    if not accepted:
        return None
    names = [one.partition(b";")[0].strip().lower() for one in accepted.split(b",")]
    return next((name for name in names if name in WINDOW), None)


def compressed(body: bytes, encoding: bytes) -> bytes:
    """A body in one of the encodings."""
    return gzip.compress(body, LEVEL) if encoding == b"gzip" else zlib.compress(body, LEVEL)
