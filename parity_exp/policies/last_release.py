"""What policies that were written for the last release find where it was then. To be taken away with the next one."""

from typing import Any


class BatchAsItWas:
    """A batch whose attributes have the names of the last release as well."""

    __slots__ = ("__dict__",)

    under_way: list[Any]

    spare: Any = None
    """A policy's own: now it keeps such things to itself, in a dictionary by batch."""

    @property
    def tasks(self) -> list[Any]:
        """Now ``under_way``."""
        return self.under_way

    @tasks.setter
    def tasks(self, tasks: list[Any]) -> None:
        self.under_way = tasks


class GroupAsItWas:
    """A coding group whose attributes have the names of the last release as well."""

    __slots__ = ("__dict__",)

    checked: bool = False
    """A policy's own: now it keeps such things to itself."""
