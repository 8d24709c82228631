"""``doctor`` as a command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from parity_exp.commands import doctor
from tests.conftest import Run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is to be examined, each time that nothing is."""
    calls: list[tuple[Any, ...]] = []

    def examine(outputs: str, data: str, wanted: Sequence[str] | None, *_: Any) -> list[str]:
        calls.append((outputs, data, wanted))
        return ["cuda:7: failed its trial"] if wanted == ["cuda:7"] else []

    monkeypatch.setattr(doctor, "examine", examine)
    return calls


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ("outputs", "data", None)),
        (["outputs=/big", "dataset.root=/sets"], ("/big", "/sets", None)),
        (["pool.devices=cpu"], ("outputs", "data", ["cpu"])),
        (["pool.devices=[cuda:1,cpu,cuda]"], ("outputs", "data", ["cuda:1", "cpu", "cuda:0"])),
    ],
)
def test_overrides_say_what_is_looked_at(
    run: Run, folder: Path, asked: list[tuple[Any, ...]], words: list[str], expected: tuple[Any, ...]
) -> None:
    assert run("doctor", *words) == 0
    assert asked == [expected]
    assert not list(folder.iterdir())


def test_a_device_that_fails_is_the_last_line_and_the_exit_status(
    run: Run, asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("doctor", "pool.devices=cuda:7") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "parity-exp doctor: cuda:7: failed its trial"


@pytest.mark.parametrize("word", ["k=3", "experiment=tail", "-m", "cuda", "pool.devices=cpu,cuda:0", "pool.devices=[]"])
def test_what_it_does_not_look_at_is_refused(run: Run, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", word) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("parity-exp doctor: ")


@pytest.mark.slow
def test_this_machine_is_examined_and_left_as_is(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = run("doctor", "pool.devices=cpu")
    shown = capsys.readouterr().out
    assert status == 0, shown
    assert "answered 40 queries" in shown and "what is needed works on cpu" in shown
    assert not list(folder.iterdir())
