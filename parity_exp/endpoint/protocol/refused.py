"""A request that is not answered as it was meant, in both of the protocol's languages."""

from enum import Enum

DEFECT = "a defect of the server; its log has more"
"""What clients are told where the server fails them."""

GONE, BROKEN = "gone", "defect"
"""Reasons that metrics have beside those of :class:`Why`: the client did not wait for its answer; a defect of ours."""


class Why(Enum):
    """Why not: the status of HTTP, the name of gRPC's, and the reason that metrics have."""

    MALFORMED = (400, "INVALID_ARGUMENT", "malformed")
    NO_TOKEN = (401, "UNAUTHENTICATED", "no_token")
    UNKNOWN = (404, "NOT_FOUND", "unknown")
    METHOD = (405, "UNIMPLEMENTED", "method")
    SLOW = (408, "DEADLINE_EXCEEDED", "slow_client")
    TOO_LARGE = (413, "INVALID_ARGUMENT", "too_large")
    ENCODING = (415, "INVALID_ARGUMENT", "encoding")
    FULL = (503, "RESOURCE_EXHAUSTED", "full")
    NO_ROOM = (503, "RESOURCE_EXHAUSTED", "no_room")
    ENDING = (503, "UNAVAILABLE", "ending")
    NO_ANSWER = (500, "INTERNAL", "no_answer")

    @property
    def status(self) -> int:
        """Of HTTP."""
        return self.value[0]

    @property
    def code(self) -> str:
        """Name of gRPC's status."""
        return self.value[1]

    @property
    def reason(self) -> str:
        """What metrics call it."""
        return self.value[2]


class RefusedError(Exception):
    """A request is refused.

    Args:
        why: the kind.
        text: one line for who sent it.
        retry_after_s: when trying again may help; None: it will not.
    """

    def __init__(self, why: Why, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.why = why
        self.text = text
        self.retry_after_s = retry_after_s


def malformed(text: str) -> RefusedError:
    """What nobody could answer."""
    return RefusedError(Why.MALFORMED, text)
