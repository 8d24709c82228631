"""Trials: what is run on which device, and what is made of how it went."""

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose

from parity_exp.doctor.children import Children, Said
from parity_exp.doctor.findings import State
from parity_exp.doctor.trials import QUERIES, SMALL, on, trial
from parity_exp.experiment.composing import composed
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.schema.composed import check_composed

GOOD = {
    "serve/parity/queries": QUERIES,
    "serve/parity/lost": 0,
    "serve/parity/fraction/error": 0.0,
    "serve/parity/latency_ms/p50": 1.0,
    "test/available_accuracy": 0.9,
    "test/degraded_accuracy": 0.8,
}


class Pretended(Children):
    """A process that leaves metrics, and says what is wrong."""

    def __init__(self, metrics: dict[str, Any] | None, problem: str = "") -> None:
        super().__init__()
        self.metrics, self.problem = metrics, problem

    def ask(self, arguments: Any, folder: Path, longest_s: float) -> Said:
        if self.metrics is not None:
            (folder / "run").mkdir()
            (folder / "run" / "metrics.json").write_text(json.dumps(self.metrics))
        return Said("", self.problem)


def test_a_device_that_trains_and_serves_is_good(tmp_path: Path) -> None:
    found = trial("cpu", tmp_path / "cpu", Pretended(GOOD))
    assert found.state is State.GOOD and "40 queries" in found.text


@pytest.mark.parametrize(
    ("metrics", "problem", "said"),
    [
        (None, "CUDA error: out of memory", "out of memory"),
        (None, "", "no results"),
        ({**GOOD, "serve/parity/lost": 3}, "", "37 of 40"),
        ({**GOOD, "serve/parity/fraction/error": 0.5}, "", "errors"),
    ],
)
def test_a_device_that_fails_is_told_in_a_line(
    tmp_path: Path, metrics: dict[str, Any] | None, problem: str, said: str
) -> None:
    found = trial("cuda:1", tmp_path / "x", Pretended(metrics, problem))
    assert found.state is State.BROKEN and said in found.text and "pool.devices=cuda:1" in found.remedy
    assert "\n" not in found.line


@pytest.mark.parametrize("device", ["cpu", "cuda:1", "pretend:0"])
def test_what_is_run_can_be_composed(device: str) -> None:
    words = [*SMALL, *on(device)]
    with composed(config_folder(), []):
        config = compose("config", words)
    assert config.pool.devices == (device if device == "cpu" else [device])
    if device == "cpu":
        check_composed(config, words, "run")
    else:
        assert config.trainer.devices == ([1] if device == "cuda:1" else 1)
