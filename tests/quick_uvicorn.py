"""uvicorn ends at once: it looks ten times a second whether it is to, and then waits for a tenth of a second more.

There are a hundred servers in the quick tests. What they answer is the same.
"""

import asyncio
from types import SimpleNamespace

import pytest

TIMES = 20


def quick_uvicorn(patch: pytest.MonkeyPatch) -> None:
    """Have uvicorn's pauses last a twentieth of their time."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / TIMES)

    patch.setattr("uvicorn.server.asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
