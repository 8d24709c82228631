"""What the documents tell a reader to type composes, and every table of numbers has the command that gives it.

No job is run here: a command is read as Hydra reads it, for every value that a sweep goes through, and what comes of it
is checked as the command does before it begins.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override

from parity_exp.cli import COMMANDS
from parity_exp.experiment.command_line import as_hydra_reads
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.schema.composed import check_composed
from tests.page_code import write_files

TOP = Path(__file__).parent.parent

DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md") for path in TOP.glob(pattern) if path.is_file()
)

PLUGINS = {
    "hydra/launcher=joblib": "hydra_plugins.hydra_joblib_launcher",
    "hydra/launcher=submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
    "hydra/sweeper=optuna": "optuna",
}
"""What has to be installed for a choice to be there; the tests' dependencies bring all of them."""

OTHER_SWEEPER = "hydra_plugins.hydra_optuna_sweeper"

CODE = re.compile(r"^```.*?^```|`[^`]+`", re.MULTILINE | re.DOTALL)
"""Blocks and spans of code in Markdown."""

CALL = re.compile(rf"(?:-m parity_exp|parity-exp) +(?P<words>(?:{'|'.join(COMMANDS)})(?: .*|$))")
"""The command line itself, whatever starts it: ``python``, ``torchrun``, a cluster's."""

SPAN = re.compile(rf"(?P<words>(?:{'|'.join(COMMANDS)}) .*\w=\S.*)")
"""A span of code that leaves out ``python -m parity_exp``; without a value it only names a key."""


def written_in(text: str) -> Iterator[list[str]]:
    """The arguments of every command line of ours in a Markdown text, blocks of code and spans alike."""
    for code in CODE.findall(text):
        if code.startswith("```"):
            lines = re.sub(r"\\\n", " ", code).splitlines()[1:-1]
        else:
            lines = [re.sub(r"\s*\n\s*", " ", code[1:-1])]
        for line in lines:
            found = CALL.search(line) or (None if code.startswith("```") else SPAN.fullmatch(line))
            if found is not None:
                yield arguments(line, found["words"])


def arguments(line: str, words: str) -> list[str]:
    """What the shell passes on: up to what ends a command, or to the quote that a whole command stands in."""
    quoted = re.search(rf"'([^']*)\b{re.escape(words[:-1])}'", line)
    given = []
    for word in shlex.split(words[:-1] if quoted else words, comments=True):
        if word in ("&&", "||", "|", "&", ";"):
            break
        given.append(word)
    return given


COMMAND_LINES = [
    pytest.param(path, given, id=f"{path.relative_to(TOP)}: {' '.join(given)}")
    for path in DOCUMENTS
    for given in written_in(path.read_text())
]


@cache
def composes(command: str, overrides: tuple[str, ...]) -> None:
    """Compose a config, and check every value in it as the command itself does before it begins."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", list(overrides))
    check_composed(config, [word for word in overrides if not word.startswith("hydra")], command)


def jobs(overrides: list[str]) -> Iterator[list[str]]:
    """The overrides of some of a sweep's jobs, in which each of its values occurs, and both ends of an interval."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    values = [swept(one) for one in parsed]
    for number in range(max(1, *map(len, values)) if values else 1):
        yield [
            f"{one.get_key_element()}={chosen[min(number, len(chosen) - 1)]}" if chosen else written
            for written, one, chosen in zip(overrides, parsed, values, strict=True)
        ]


def swept(override: Override) -> list[str]:
    """What a sweep goes through in one place; nothing where it does not sweep."""
    if override.is_hydra_override() or not override.is_sweep_override():
        return []
    if override.is_interval_sweep():
        interval = override.value()
        assert isinstance(interval, IntervalSweep)
        return [str(interval.start), str(interval.end)]
    return list(override.sweep_string_iterator())


def test_commands_are_found_wherever_they_stand() -> None:
    text = """
Say `simulate load.queries=10` or `train
-m k=2,3`, not `train` alone, nor `k=2`, nor `serve run=`.

```sh
python -m parity_exp train k=2 'redundancy=[none]' # with a comment
torchrun --nnodes 2 -m parity_exp train trainer=ddp && echo done
ray exec cluster.yaml 'parity-exp serve run=trained pool=ray'
python -m pip install parity_exp
parity-exp train: k=1: expected 2 or more
```
"""
    assert list(written_in(text)) == [
        ["simulate", "load.queries=10"],
        ["train", "-m", "k=2,3"],
        ["train", "k=2", "redundancy=[none]"],
        ["train", "trainer=ddp"],
        ["serve", "run=trained", "pool=ray"],
    ]
    found = {path.relative_to(TOP).as_posix() for path in DOCUMENTS if list(written_in(path.read_text()))}
    assert {"README.md", "docs/results/adaptive.md", "docs/results/recipes.md", "docs/results/experiments.md"} <= found


AT_ONCE = ("README.md", "docs/start.md")
"""Documents whose commands are composed by the quick tests, too."""

TO_COMPOSE = [
    pytest.param(
        path,
        given,
        id=f"{path.relative_to(TOP)}: {' '.join(given)}",
        marks=() if path.relative_to(TOP).as_posix() in AT_ONCE else pytest.mark.slow,
    )
    for path in DOCUMENTS
    for given in written_in(path.read_text())
]


@pytest.mark.parametrize(("page", "given"), TO_COMPOSE)
def test_a_command_of_the_documents_composes(
    page: Path, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for choice, module in PLUGINS.items():
        if choice in given and find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if "hydra/sweeper=optuna" in given and find_spec(OTHER_SWEEPER) is not None:
        pytest.skip(f"{OTHER_SWEEPER} is installed as well, and Hydra has two sweepers of the name optuna")
    # Components of one's own stand on the page that uses them.
    write_files(page, tmp_path)
    for name in [name for name in sys.modules if name.startswith("my_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    flags, unknown = get_args_parser().parse_known_args(as_hydra_reads(given[0], given[1:]))
    assert not unknown, f"not flags of Hydra's: {unknown}"
    sweeps = list(jobs(flags.overrides))
    assert len(sweeps) == 1 or flags.multirun, "values between commas need -m"
    for overrides in sweeps:
        composes(given[0], tuple(overrides))


# ---- numbers

TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)

MEASURED = re.compile(r"\d\.\d|\d+ / \d+|\d %")
"""What numbers look like that somebody has measured."""

OTHER_MEANS = (
    "python examples/",
    "`pytest tests/benchmarks",
    "`python -m tests.benchmarks",
    "python -m tests.gpu",
    "```python",
)
"""What else than a command may give a table: an example, a benchmark, a few lines of Python."""

PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")

FOLDERS = {"DATE", "TIME"}
"""Part of the folder that an earlier command has printed; all other names in commands are to be taken as they stand."""


def tables_without_command(text: str) -> list[str]:
    """First lines of tables of numbers that no command stands beside.

    A table's command is in its section, after the table before it and before the table after it.
    """
    lacking = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        around = TABLE.split(section)
        for place, table in enumerate(TABLE.findall(section)):
            cells = [cell for row in table.splitlines()[2:] for cell in row.split("|")[2:-1]]
            if sum(bool(MEASURED.search(cell)) for cell in cells) < 3:
                continue
            beside = around[place] + "\n\n" + around[place + 1]
            if not list(written_in(beside)) and not any(other in beside for other in OTHER_MEANS):
                lacking.append(table.splitlines()[0])
    return lacking


def test_a_table_without_its_command_is_seen() -> None:
    table = "| what | a | b |\n|---|---|---|\n| x | 0.5 | 0.6 |\n| y | 0.7 | 0.8 |\n\n"
    command = "`train k=2` gives it.\n\n"
    assert tables_without_command("## One\n\n" + command + table) == []
    assert tables_without_command("## One\n\n" + table + command) == []
    assert tables_without_command("## One\n\n" + command + table + "and\n\n" + table) == ["| what | a | b |"]
    assert tables_without_command("## One\n\n" + command + "## Two\n\n" + table) == ["| what | a | b |"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(TOP).as_posix())
def test_every_table_of_numbers_has_its_command(path: Path) -> None:
    assert tables_without_command(path.read_text()) == []


@pytest.mark.parametrize(("page", "given"), COMMAND_LINES)
def test_a_command_of_the_documents_can_be_typed_as_it_stands(page: Path, given: list[str]) -> None:
    assert set(PLACEHOLDER.findall(" ".join(given))) <= FOLDERS


PUBLISHED = ("AzureLLMInferenceTrace_conv.csv", "AzureFunctionsInvocationTraceForTwoWeeksJan2021.txt")
"""Traces that others have published, by the names under which they have."""


def test_folders_that_commands_read_are_made_by_commands_before() -> None:
    for path in DOCUMENTS:
        made = {"trained", *PUBLISHED}  # `trained` is where `ray rsync-up` puts a run
        for given in written_in(path.read_text()):
            for key, _, value in (word.partition("=") for word in given[1:]):
                if key in ("run", "resume", "simulate.calibrate", "load.path", "straggler.trace.path") and value != ".":
                    for one in re.split(r", *", value.strip("[]{}")):  # a folder, or several by number
                        folder = re.sub(r"^\d+: *|/[^/]+\.csv$", "", one)
                        assert folder in made or folder.endswith("DATE/TIME"), f"{path}: {value} is made by no command"
            made |= {word.partition("=")[2] for word in given if word.startswith("hydra.run.dir=")}


def test_the_largest_weights_of_berruts_two_sign_conventions_are_what_the_snippet_gives() -> None:
    text = (TOP / "docs" / "results" / "codes.md").read_text()
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], names)
    rows = [row.strip("| \n").split(" | ") for row in TABLE.findall(text)[-1].splitlines()[2:]]
    assert len(rows) == 9
    for k, stragglers, *weights in rows:
        for signs, weight in zip(("own", "alternating"), weights, strict=True):
            assert names["largest_weight"](int(k), int(stragglers), signs) == pytest.approx(float(weight), abs=0.051)
