"""What tests of serving share."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def earlier_things_frozen() -> Iterator[None]:
    """Set aside what other tests have imported and made: those here that count what is alive need not go through it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
