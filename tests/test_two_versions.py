"""The program that compares two versions says in a line what it cannot do."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks.two_versions import main

TOP = str(Path(__file__).parents[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([TOP, TOP, "--pairs", "1"], "--pairs at least 2"),
        ([TOP, TOP, "--queries", "0"], "--instances and --queries are at least 1"),
        (["nowhere", TOP], "nowhere: no checkout of parity_exp"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["two_versions", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2 and said in last
