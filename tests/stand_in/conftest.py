"""Every test of this folder is marked ``stand_in`` and has two pretended devices.

The kind of device is registered while tests are collected, since torch asks for it before its first backward pass. For
tests of other folders there are no devices of that kind.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parity_exp.devices.backends import MODULES
from tests.stand_in import device
from tests.stand_in.forwards import Forwards, recorded

if device.unavailable() is None:
    import tests.stand_in.accelerator  # noqa: F401

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = device.unavailable()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("stand_in")
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def two_devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Devices ``pretend:0`` and ``pretend:1``, here and in processes that are started from here."""
    monkeypatch.setenv(device.COUNT, "2")
    monkeypatch.setenv(MODULES, "tests.stand_in.two_devices")
    with device.factories():
        yield


@pytest.fixture
def forwards() -> Iterator[Forwards]:
    """Takes note of where layers compute during the test."""
    with recorded() as forwards:
        yield forwards
