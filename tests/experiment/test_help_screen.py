"""``COMMAND --help``: one screen, made from what the command says of itself and from the config."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose

from parity_exp.cli import COMMANDS, PROGRAM
from parity_exp.errors import ConfigError
from parity_exp.experiment.command_line import SWEEPS, as_hydra_reads, parsed
from parity_exp.experiment.composing import Composed, composed
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.help_screen import group_screen, help_screen
from parity_exp.experiment.schema.composed import check_composed
from parity_exp.experiment.usage import Usage
from tests.conftest import Run

CONF = config_folder()

NOT_CHOSEN_BY_COMMANDS = {"hydra"}
"""Groups that are Hydra's own."""


def usage_of(command: str) -> Usage:
    usage: Usage = importlib.import_module(f"parity_exp.commands.usages.{command}").USAGE
    return usage


@pytest.fixture(scope="module")
def there() -> Composed:
    with composed(CONF, []) as config:
        return config


def screen_of(command: str, there: Composed) -> str:
    return help_screen(f"{PROGRAM} {command}", COMMANDS[command], usage_of(command), there)


@pytest.mark.parametrize("columns", [40, 100, 300])
@pytest.mark.one_of_many
def test_the_screen_fits_on_a_screen(there: Composed, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in COMMANDS:
        lines = screen_of(command, there).splitlines()
        assert 10 <= len(lines) <= 60, command
        assert max(map(len, lines)) <= min(120, max(84, columns)), command


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.one_of_many
def test_every_override_that_is_shown_can_be_given(command: str) -> None:
    words = as_hydra_reads(command, list(usage_of(command).overrides))
    assert len(words) <= 10
    with composed(CONF, []):
        check_composed(compose("config", overrides=words), words, command)


@pytest.mark.parametrize(
    ("command", "line"), [(command, line) for command in COMMANDS for line in usage_of(command).examples]
)
@pytest.mark.one_of_many
def test_every_command_line_that_is_shown_can_be_given(command: str, line: str) -> None:
    name, *words = line.replace("'", "").split()
    assert name == command
    sweeps = [word for word in words if (one := parsed(word)) is not None and one.is_sweep_override()]
    if any(word in SWEEPS for word in words):
        words = [word.partition(",")[0] if word in sweeps else word for word in words if word not in SWEEPS]
    words = as_hydra_reads(command, words)
    with composed(CONF, []):
        check_composed(compose("config", overrides=words), words, command)


def test_what_holds_otherwise_is_read_from_the_config() -> None:
    with composed(CONF, ["k=7", "encoder=concat", "redundancy=[hedged,parity]"]) as there:
        shown = {command: screen_of(command, there) for command in ("train", "serve")}
    assert "[7]" in shown["train"] and "[concat]" in shown["train"] and "concat*" in shown["train"]
    assert "[hedged, parity]" in shown["serve"] and "equal_resources*" not in shown["serve"]


@pytest.mark.parametrize("command", [command for command in COMMANDS if usage_of(command).groups])
def test_choices_are_those_that_have_a_file(command: str, there: Composed) -> None:
    usage = usage_of(command)
    for group in usage.groups:
        name = group.removesuffix("/*")
        pattern = "**/*.yaml" if group.endswith("/*") else "*.yaml"
        files = {path.relative_to(CONF / name).with_suffix("").as_posix() for path in (CONF / name).glob(pattern)}
        lines = [line for line in group_screen(name, usage, there).splitlines() if line.startswith(f"{name}=")]
        assert {line.split()[0].partition("=")[2] for line in lines} == files, name


def test_every_group_is_shown_by_some_command() -> None:
    shown = {group.removesuffix("/*") for command in COMMANDS for group in usage_of(command).groups}
    assert {path.name for path in CONF.iterdir() if path.is_dir()} - NOT_CHOSEN_BY_COMMANDS == shown


def test_a_choice_is_shown_with_what_its_file_says(there: Composed) -> None:
    line = next(line for line in group_screen("recipe", usage_of("train"), there).splitlines() if "=parm" in line)
    assert "ParM's training recipe" in line and "@package" not in line


def test_choices_in_a_folder_of_ones_own_are_shown(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = folder / "own" / "straggler"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# Slow on Mondays.\nmine: {}\n")
    assert run("serve", "--help", "straggler", "--config-dir", "own") == 0
    assert "straggler=mine" in capsys.readouterr().out
    with composed(CONF, [f"hydra.searchpath=[file://{folder / 'own'}]"]) as there:
        assert there.comment("straggler/mine") == "Slow on Mondays."


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["k=3", "--help"], ["-m", "k=2,3", "--help"], ["--hel"]])
def test_every_way_to_ask_for_help_shows_the_screen(
    run: Run, folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", *words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{PROGRAM} train") and "--hydra-help" in shown and "--cfg job" in shown
    assert not list(folder.iterdir())


def test_hydras_own_help_is_still_there(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--hydra-help") == 0
    assert "--config-dir" in capsys.readouterr().out


def test_a_group_that_there_is_not_is_refused_with_the_next_one(there: Composed) -> None:
    with pytest.raises(ConfigError, match="did you mean encoder"):
        group_screen("encodr", usage_of("train"), there)


def test_a_mistake_beside_help_is_told_in_a_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "encoder=conct", "--help") == 2
    assert "did you mean concat" in capsys.readouterr().err


@pytest.mark.slow
def test_help_imports_nothing_that_takes_time() -> None:
    program = (
        "import sys; from parity_exp.cli import COMMANDS, main\n"
        "for command in COMMANDS: main([command, '--help'])\n"
        "print('slow:', [name for name in ('torch', 'pandas', 'matplotlib', 'wandb', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "slow: []"
