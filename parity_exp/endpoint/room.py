"""How many bytes of requests a server has in hand, and that they are never more than it has room for."""

from parity_exp.endpoint.protocol.refused import RefusedError, Why

RETRY_AFTER_S = 1.0
"""When it may be worth to come back for who found no room."""


class Room:
    """Counts bytes of requests, from when they are there until their answers are made.

    Args:
        most: bytes at a time.

    Attributes:
        used: bytes of it at the moment, kept ones included.
        kept: bytes that may be under way; at most half of the room, so that nobody who sends nothing fills it.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self.kept = 0

    def check(self, size: int) -> None:
        """Refuse what there is no room for at the moment.

        Raises:
            RefusedError: it may come back later.
        """
        if self.used + size > self.most:
            raise self._full()

    def check_kept(self, size: int) -> None:
        """Likewise of what is to be kept free.

        Raises:
            RefusedError: it may come back later.
        """
        if self.kept + size > max(self.most // 2, size) or self.used + size > self.most:
            raise self._full()

    def _full(self) -> RefusedError:
        text = f"the server has {self.used} bytes of requests in hand, of at most {self.most}; try again later"
        return RefusedError(Why.NO_ROOM, text, RETRY_AFTER_S)


class Held:
    """What one request takes of the room, which is given back in the end: a context.

    Args:
        room: of all requests.
    """

    __slots__ = ("_kept", "_room", "_size")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = self._kept = 0

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Give all of it back; may come more than once."""
        self._give_back()
        self._room.used -= self._size
        self._size = 0

    def more(self, size: int) -> None:
        """So much more of it is there, and nothing is kept free for it any more.

        Raises:
            RefusedError: there is no room for that.
        """
        self._give_back()
        self._room.check(size)
        self._room.used += size
        self._size += size

    def keep(self, size: int) -> None:
        """So much of it may be under way.

        Raises:
            RefusedError: there is no room for that.
        """
        self._room.check_kept(size)
        self._room.used += size
        self._room.kept += size
        self._kept += size

    def _give_back(self) -> None:
        self._room.used -= self._kept
        self._room.kept -= self._kept
        self._kept = 0
