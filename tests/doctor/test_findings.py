"""How findings are shown."""

import io

from rich.console import Console

from parity_exp.doctor.findings import Finding, State, show


def shown(*findings: Finding, terminal: bool = False) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=40, highlight=False, force_terminal=terminal), "Things", findings)
    return stream.getvalue()


def test_a_remedy_can_be_copied_from_a_pipe_in_one_piece() -> None:
    remedy = "pip install 'parity_exp[ray]' and then something that is longer than forty columns"
    lines = shown(Finding("ray", "not installed", State.MISSING, remedy)).splitlines()
    assert lines[1].split() == ["--", "ray", "not", "installed"]
    assert lines[2].strip() == f"-> {remedy}"


def test_pipes_get_no_colours_and_terminals_do() -> None:
    assert "\x1b" not in shown(Finding("a", "b"))
    assert "\x1b[32m" in shown(Finding("a", "b"), terminal=True)


def test_what_a_library_said_in_several_lines_and_brackets_is_a_line_as_it_is() -> None:
    assert "[red] two lines" in shown(Finding("a", "[red]\n  two\nlines"))
