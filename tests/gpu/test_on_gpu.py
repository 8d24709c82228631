"""What needs a GPU: that everything runs and holds there. Speeds are printed by ``python -m tests.gpu``."""

from pathlib import Path

import pytest
import torch

from tests.gpu import commands
from tests.gpu.rows import Row, table

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")]


@pytest.mark.timeout(600)
def test_the_command_line_trains_evaluates_and_serves(tmp_path: Path) -> None:
    rows = commands.check(tmp_path)
    assert all(row.holds is not False for row in rows), table(rows)


def test_a_table_says_what_does_not_hold() -> None:
    assert "NO" in table([Row("speed", 1.0, "1/s", 2.0, "the other", ">= 1", False)])
