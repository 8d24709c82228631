"""The table of a sweep holds the jobs that can be read."""

import json
from pathlib import Path

import pytest

from parity_exp.experiment.sweep_table import sweep_table


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": ' * 100_000, "\x00"])
def test_a_damaged_job_is_left_out_and_named(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        job = tmp_path / str(number)
        (job / ".hydra").mkdir(parents=True)
        (job / ".hydra" / "overrides.yaml").write_text(f"- k={number + 2}\n- ++seed=0\n")
        (job / "metrics.json").write_text(json.dumps({"test/degraded_accuracy": number / 10}))
    (tmp_path / "1" / "metrics.json").write_text(content)
    table = sweep_table(tmp_path)
    assert table["job"].tolist() == ["0", "2"]
    assert table["k"].tolist() == ["2", "4"] and table["seed"].tolist() == ["0", "0"]
    assert "job 1 is not in the table" in caplog.text
