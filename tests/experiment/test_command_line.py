import os
import subprocess
import sys
from pathlib import Path

import pytest

from parity_exp import __version__
from parity_exp.cli import COMMANDS
from tests.conftest import Run


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["trian"]])
def test_without_a_known_command_all_are_listed(
    run: Run, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    shown = capsys.readouterr().err
    assert all(command in shown and line in shown for command, line in COMMANDS.items())


def test_a_mistyped_command_is_recognised(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("trian")
    assert "did you mean train?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["encodr=concat"], "encoder"),
        (["encoder=conct"], "concat"),
        (["trainer.max_epoch=3"], "trainer.max_epochs"),
        (
            ["max_epochs=3"],
            "base.max_epochs or backup.max_epochs or members.max_epochs or trainer.max_epochs or "
            "multiplexed_backup.max_epochs?",
        ),
        (["encoder=conv", "encoder.widht=3"], "encoder.width"),
        (["-m", "k=2,3", "dataset.rot=x"], "dataset.root"),
        (["experiment=wrong_answer"], "wrong_answers"),
        (["scheduler@base.shceduler=cosine"], "scheduler@base.scheduler"),
        (["--multirn", "k=2,3"], "--multirun"),
        (["--cgf", "job"], "--cfg"),
    ],
)
def test_a_mistyped_key_choice_or_flag_is_recognised(
    run: Run, arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", *arguments) == 2
    shown = capsys.readouterr().err
    assert "did you mean" in shown.lower() and meant in shown.lower().partition("did you mean")[2]


def test_flags_that_exclude_each_other_are_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "-m", "--cfg", "job") == 2
    assert "Only one of" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--cfg"], ["~k", "--cfg"], ["-m", "~k", "--cfg"]])
def test_a_flag_without_its_value_is_named_and_nothing_that_was_not_typed(
    run: Run, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", *given) == 2
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert "--cfg" in line and "expected one argument" in line


def test_a_key_like_no_other_gets_no_suggestion(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "zzz=1") == 2
    shown = capsys.readouterr().err
    assert "zzz" in shown and "did you mean" not in shown


def test_version_and_help(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert __version__ in capsys.readouterr().out
    assert run("--help") == 0
    assert "train" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags",
    [["--help"], ["--cfg", "job"], ["--cfg", "job", "--resolve"], ["--info", "defaults"], ["k=3", "--cfg", "job"]],
)
def test_hydras_flags_work_behind_a_command(run: Run, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", *flags) == 0
    assert "encoder" in capsys.readouterr().out


def test_the_console_script_is_the_same_program(folder: Path) -> None:
    def version(*command: str) -> str:
        return subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout

    script = Path(sys.executable).parent / "parity-exp"
    assert version(str(script)) == version(sys.executable, "-m", "parity_exp")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("parity-exp ev", "evaluate"),
        ("parity-exp train encoder=con", "encoder=concat"),
        ("parity-exp train dataset=fa", "dataset=fashion_mnist"),
    ],
)
def test_shell_completion_knows_commands_and_groups(folder: Path, line: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "parity_exp", "-sc", "query=bash"],
        env={**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected in done.stdout.split()
