"""Pages that say how to write something of one's own, and the page that newcomers start with, work as they stand.

Files are what the pages' code says, under the names in their first lines; commands are run in the order of the page, on
few data and for few queries. Commands of all pages are composed by tests/test_documents.py.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from parity_exp.models import MLP
from tests.conftest import QUICK, Run, Trained
from tests.page_code import blocks, write_files

PAGES = Path(__file__).parent.parent / "docs"

OWN_ENCODER = PAGES / "guide" / "own-encoder.md"

SERVING = ("load.queries=40", "pool.service_time_ms=2", "load.utilisation=null", "load.rate_qps=400")


def commands(page: str) -> list[list[str]]:
    """The arguments of every ``python -m parity_exp`` of a page's shell blocks, in order."""
    lines = [line for language, text in blocks(PAGES / page) if language == "sh" for line in text.splitlines()]
    return [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("python -m parity_exp ")]


def quickened(arguments: list[str]) -> list[str]:
    """A command, for few data or queries."""
    quick = {"train": [*QUICK], "evaluate": [], "serve": [*SERVING], "simulate": ["load.queries=400"]}[arguments[0]]
    smaller = {word.partition("=")[0] for word in quick}
    kept = [word for word in arguments if word.partition("=")[0] not in smaller]
    return [*kept, *quick, "tracker=none"]


@pytest.fixture
def own_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, in which Python finds modules; those that a test writes there are forgotten afterwards."""
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name.startswith("my_")]:
        monkeypatch.delitem(sys.modules, name)
    yield folder
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


@pytest.mark.parametrize("page", ["guide/own-encoder.md", "guide/own-policy.md", "guide/own-model.md", "guide/data.md"])
def test_what_a_page_says_of_components_of_ones_own_works(
    page: str, run: Run, own_folder: Path, trained: Trained
) -> None:
    write_files(PAGES / page, own_folder)
    given = [one for one in commands(page) if "hydra.searchpath=[file://my_conf]" in one]
    assert given
    for arguments in given:
        if "run=outputs/train/DATE/TIME" in arguments:
            shutil.copytree(trained(), "earlier", dirs_exist_ok=True)
        arguments = [word.replace("outputs/train/DATE/TIME", "earlier") for word in arguments]
        assert run(*quickened(arguments)) == 0


def test_a_base_model_trained_elsewhere_is_taken_as_the_page_says(run: Run, own_folder: Path) -> None:
    torch.save(MLP((1, 16, 16), 10).state_dict(), "model.pt")
    (given,) = [one for one in commands("guide/own-model.md") if "base.checkpoint=model.pt" in one]
    assert run(*quickened([word for word in given if not word.startswith("dataset=")])) == 0


def test_settings_of_an_encoder_of_ones_own_can_be_given(run: Run, own_folder: Path) -> None:
    write_files(OWN_ENCODER, own_folder)
    (own,) = [text for _, text in blocks(OWN_ENCODER) if "class ScaledEncoder" in text]
    (settings,) = [text for _, text in blocks(OWN_ENCODER) if text.startswith("_target_: my_codes.Scaled")]
    with Path("my_codes.py").open("a") as file:
        file.write(own)
    Path("my_conf/encoder/scaled.yaml").write_text(settings)
    given = ("train", "hydra.searchpath=[file://my_conf]", "encoder=scaled")
    assert run(*quickened([*given, "encoder.scale=2"])) == 0
    assert run(*quickened([*given, "encoder.scale=-1"])) == 2


def test_the_example_of_a_code_decodes_what_was_lost() -> None:
    (example,) = [text for _, text in blocks(OWN_ENCODER) if "import torch\n" in text]
    names: dict[str, torch.Tensor] = {}
    exec(example, names)
    torch.testing.assert_close(names["decoded"], names["predictions"], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_page_on_python_runs_from_top_to_bottom(own_folder: Path) -> None:
    code = "\n".join(text for language, text in blocks(PAGES / "guide" / "python.md") if language == "python")
    for slow, quick in {
        "epochs=60": "epochs=1, base_epochs=1",
        "Poisson(2_000, utilisation=0.5)": "Poisson(40, rate_qps=400)",
        "service_time_ms=20)": "service_time_ms=2)",
        "Poisson(20_000, utilisation=0.4)": "Poisson(400, utilisation=0.4)",
        "Poisson(20_000, rate_qps=400),": "Poisson(2_000, rate_qps=400), percentile=90,",
    }.items():
        assert slow in code
        code = code.replace(slow, quick)
    names: dict[str, Any] = {"__name__": "page"}
    exec(code, names)
    assert list(names["served"].table["policy"]) == ["none", "equal_resources", "hedged"]
    assert list(names["coded"].table["policy"]) == ["parity", "shared_parity"]
    assert set(names["simulated"].queries["policy"]) == {"twice", "hedged"}
    assert not names["plan"].table.empty
    assert Path("mine/3/checkpoints/parity-0.ckpt").is_file()


@pytest.mark.slow
def test_the_commands_of_the_first_page_work_one_after_the_other(run: Run, own_folder: Path) -> None:
    given = [one for one in commands("start.md") if one[0] in ("train", "serve", "simulate") and "--cfg" not in one]
    assert [one[0] for one in given] == ["train", "serve", "simulate", "train", "serve"]
    for arguments in given:
        assert run(*quickened(arguments)) == 0
    assert Path("first/served/report.html").is_file() and Path("first/trained/figures/groups.png").is_file()


# ---- messages

MISTAKES = [
    ("train", "encodr=concat"),
    ("train", "encoder=concatenation"),
    ("train", "k=1"),
    ("train", "k=2,3"),
    ("train", "encoder=null"),
    ("train", "encoder=concat", "position_code=signs"),
    ("train", "dataset=image_folder"),
    ("train", "encoder._target_=my_codes.MeanEncoder"),
    ("train", "base.checkpoint=earlier"),
    ("train", "trainer.check_val_every_n_epoch=50", "trainer.max_epochs=2", "base.max_epochs=2"),
    ("train", "hydra.run.dir=earlier"),
    ("train", "resume=earlier", "trainer.max_epochs=1"),
    ("serve",),
    ("serve", "run=nowhere"),
    ("serve", "run=earlier", "k=3"),
    ("serve", "run=earlier", "load.utilisation=0.5", "load.rate_qps=100"),
    ("serve", "run=earlier", "redundancy=[oracle]"),
    ("serve", "run=earlier", "redundancy=[coded]"),
    ("serve", "run=earlier", "straggler=degraded", "straggler.degraded.instance=40"),
    ("simulate", "straggler=contention"),
    ("simulate", "load=trace"),
    ("simulate", "plan.slo_ms=[50]"),
    ("simulate", "plan.slo_ms=[50]", "load.rate_qps=100", "load.queries=500"),
    ("simulate", "plan.slo_ms=[5000]", "load.rate_qps=100", "load.queries=50000"),
    ("report", "runs=nowhere"),
]
"""Command lines that a newcomer may type, and that cannot work; ``earlier`` is the run directory of a `train`."""


def lines_of_troubleshooting() -> list[re.Pattern[str]]:
    """Messages of the first column of the page's tables; what differs from case to case matches anything."""
    rows = (
        row.split("|")[1] for row in (PAGES / "troubleshooting.md").read_text().splitlines() if row.startswith("| ")
    )
    shown = (message for row in rows for message in re.findall(r"`([^`]+)`", row))
    return [re.compile(".*?".join(map(re.escape, re.split(r"\.\.\.|\d+", one)))) for one in shown if len(one) > 8]


@pytest.mark.parametrize("mistake", MISTAKES, ids=" ".join)
def test_what_a_mistaken_command_says_stands_on_the_page_of_troubles(
    mistake: tuple[str, ...], run: Run, own_folder: Path, trained: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    if any("earlier" in word for word in mistake):
        shutil.copytree(trained(), "earlier")
        capfd.readouterr()
    tracker = [] if mistake[0] == "report" else ["tracker=none"]
    assert run(*mistake, *tracker) == 2
    said = capfd.readouterr().err.replace("`", "")
    assert any(line.search(said) for line in lines_of_troubleshooting()), said


def test_the_page_for_newcomers_tells_the_numbers_that_its_example_prints(capsys: pytest.CaptureFixture[str]) -> None:
    page = PAGES / "parity-models.md"
    (code,) = [text for language, text in blocks(page) if language == "python"]
    exec(code, {})
    of_sum, of_its_place = (re.findall(r"\d\.\d", line) for line in capsys.readouterr().out.splitlines())
    assert f"makes\n{', '.join(of_sum)}" in page.read_text()
    picture = (PAGES / "pictures" / "parity_models.svg").read_text()
    space = "\u2003"
    assert f"= {space.join(of_sum)}<" in picture
    assert f">{space.join(of_its_place)}<" in picture
