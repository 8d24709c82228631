"""Precisions that a code cannot bear are warned of by their keys, and generators that repair nothing are refused."""

from pathlib import Path

import pytest

from tests.conftest import QUICK, Run

SINGULAR = """
import torch


class Ones:
    def matrix(self, k, r):
        return torch.ones(r, k)
"""


@pytest.mark.slow
def test_training_says_that_its_precision_is_too_low(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    quick = (
        *QUICK,
        "tracker=none",
        "decoder=subtraction",
        "objective=mse",
        "base.max_epochs=1",
        "trainer.max_epochs=1",
    )
    assert run("train", *quick, "k=8", "r=4", "trainer.precision=bf16-mixed") == 0
    shown = capfd.readouterr()
    warnings = [line for line in (shown.out + shown.err).splitlines() if "rounding errors" in line]
    assert len(warnings) == 1
    assert all(word in warnings[0] for word in ("trainer.precision=bf16-mixed", "k=8 and r=4", "float32"))


def test_a_generator_that_repairs_nothing_is_refused(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "generators.py").write_text(SINGULAR)
    arguments = ("k=3", "r=2", "generator._target_=generators.Ones", "~generator.scale", "~generator.shift")
    assert run("train", *QUICK, "tracker=none", *arguments) == 2
    line = capfd.readouterr().err
    assert "generator (generators.Ones)" in line and "k=3 and r=2" in line and "generator=chebyshev" in line
    assert not Path("outputs", "train").exists()
