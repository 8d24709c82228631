"""What others need to know of queries that are token ids."""

from typing import Protocol

from torch import Tensor


class Texts(Protocol):
    """How texts became token ids, and what they say."""

    @property
    def size(self) -> int:
        """Ids are below it."""
        ...

    @property
    def files(self) -> dict[str, str]:
        """Contents of files by name, from which it can be made again; run directories keep them."""
        ...

    def text(self, ids: Tensor) -> str:
        """What a query ``(L,)`` says."""
        ...
