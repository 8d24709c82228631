"""Jobs here draw no figures but for tests marked ``draws``."""

import pytest

from tests.blank_figures import blank_figures


@pytest.fixture(autouse=True)
def no_drawing_unless_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("draws") is None:
        blank_figures(monkeypatch)
