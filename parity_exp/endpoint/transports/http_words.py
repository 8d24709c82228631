"""What HTTP says where a request is refused."""

import json

from parity_exp.endpoint.protocol.refused import RefusedError, Why

Headers = list[tuple[bytes, bytes]]

JSON, OCTETS = b"application/json", b"application/octet-stream"


def error_body(text: str) -> bytes:
    """The body of an answer that is none."""
    return json.dumps({"error": text}).encode()


def headers_of(refused: RefusedError) -> Headers:
    """Headers that go with a refusal."""
    headers: Headers = []
    if refused.retry_after_s is not None:
        headers.append((b"retry-after", f"{max(1, round(refused.retry_after_s))}".encode()))
    if refused.why is Why.NO_TOKEN:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.why in (Why.TOO_LARGE, Why.SLOW, Why.ENDING, Why.NO_ROOM):
        headers.append((b"connection", b"close"))  # what is left of the request is not read
    return headers
