"""What people call folders, policies and classes is shown as they wrote it: it is no markup, formula or pattern."""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure

from parity_exp.analysis.figures.files import png, save
from parity_exp.analysis.pages.page import Section, Table, write_page
from parity_exp.analysis.tables.terminal import show
from parity_exp.recordings.search import find_run_directories
from tests.analysis.many_runs import write_many_runs
from tests.conftest import Run

pytestmark = pytest.mark.draws

NAMES = [
    "a[bold]b",
    "a[/b]",
    "[link=x]y[/link]",
    ":smile:",
    "$x^2$",
    "$\\frac{",
    "a$b",
    "50 %",
    "<b>&amp;",
    "{x}",
    "a_b^c",
    "[",
    "]",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_in_the_terminal_shows_names_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(f"title {name}", pd.DataFrame({f"column {name}": [f"cell {name}"]}), f"run directory: /tmp/{name}/x")
    shown = capsys.readouterr().out
    assert all(f"{part}{name}" in shown for part in ("title ", "column ", "cell ", "run directory: /tmp/"))


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_names_as_they_are(name: str, tmp_path: Path) -> None:
    import html

    table = Table((name, "b"), [[name, name]], name)
    write_page(tmp_path / "page.html", name, [name], [name], [Section("x", name, [name], [table], code={name: name})])
    text = (tmp_path / "page.html").read_text()
    assert html.unescape(text.replace("<wbr>", "")).count(name) >= 9
    assert "<b>" not in text


def drawn(name: str) -> Figure:
    """A figure in which a name stands wherever one can."""
    figure = Figure(figsize=(4, 3), layout="constrained")
    bars, curve = figure.subplots(1, 2)
    bars.bar([name, "other"], [1, 2])
    bars.set_title(name)
    curve.plot([1, 1000], [1, 1000], label=name)
    curve.set(xscale="log", yscale="log", xlabel=name)
    curve.set_xticks([1, 1000], labels=[name, name])
    curve.legend(title=name)
    curve.annotate(name, (1, 1))
    figure.suptitle(name)
    return figure


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_with_such_a_name_is_drawn(name: str, tmp_path: Path) -> None:
    (path,) = save({"figure": drawn(name)}, tmp_path)
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_dollars_are_no_formula_but_powers_of_ten_are_numbers() -> None:
    figure = drawn("$x^2$")
    png(figure)
    bars, curve = figure.axes
    assert not bars.title.get_parse_math()
    assert not any(label.get_parse_math() for label in [*bars.get_xticklabels(), *curve.get_xticklabels()])
    assert all(label.get_parse_math() for label in curve.get_yticklabels() if label.get_text())
    plain, formula = Figure(), Figure()
    plain.text(0.5, 0.5, "$x^2$", parse_math=False)
    formula.text(0.5, 0.5, "$x^2$")
    expected = io.BytesIO()
    plain.savefig(expected, format="png", dpi=150)
    assert png(formula) == expected.getvalue()
    plt.close("all")


@pytest.mark.parametrize("name", ["a[1]", "a*b", "a?b", "[ab]", "x[!a]y"])
def test_runs_below_a_folder_with_a_patterns_characters_are_found(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "outputs"
    written = sorted(write_many_runs(folder, 2, 1))
    for pattern in (str(folder), f"{folder}/**", f"{folder}/*", f"{tmp_path / name}/**/serve/**", f"{tmp_path}/**"):
        found = find_run_directories([pattern])
        assert found and set(found) <= set(written)
    assert sorted(find_run_directories([f"{folder}/**"])) == written


def test_a_pattern_is_still_one(tmp_path: Path) -> None:
    for name in ("a1", "a2", "b1"):
        write_many_runs(tmp_path / name, 1, 0)
    assert len(find_run_directories([f"{tmp_path}/a[12]"])) == 2
    assert len(find_run_directories([f"{tmp_path}/?1/**"])) == 2


def test_a_report_finds_all_runs_where_outputs_has_brackets(run: Run, folder: Path) -> None:
    write_many_runs(folder / "a[1]", 2, 1)
    assert run("report", "outputs='a[1]'") == 0
    assert len(list((folder / "a[1]").glob("report/*/*/report.html"))) == 1
