"""The section of a run's page about its code: how good it is, what it costs, and how its training went."""

from collections.abc import Sequence

from parity_exp.analysis.pages.cells import cell, table_of
from parity_exp.analysis.pages.page import Picture, Section, Table
from parity_exp.analysis.runs.one_run import OneRun
from parity_exp.analysis.tables.quality import part_costs, quality_table, score_name
from parity_exp.recordings.reader import read_table


def code_section(run: OneRun, pictures: Sequence[Picture]) -> Section:
    """How good the code is; empty for a run that measured and trained nothing."""
    per_class = read_table(run.directory.per_class)
    tables = [*_quality(run), *_costs(run), *_training(run), *_overall(run)]
    if per_class is not None:
        tables.append(table_of(per_class, "By class", folded=True))
    return Section("code", "The code", tables=tables, pictures=pictures)


def _quality(run: OneRun) -> list[Table]:
    """A row for what was measured on the test split, a column a score."""
    table = quality_table(_below("test/", run))
    if table.empty:
        return []
    rows = [[name, *(f"{v:.4f}" if v == v else "-" for v in cells)] for name, *cells in table.itertuples(index=False)]
    return [Table(["test split", *(str(name) for name in table.columns[1:])], rows, "Quality")]


def _costs(run: OneRun) -> list[Table]:
    """A row a part: its parameters, operations, and microseconds."""
    table = part_costs(_below("cost/", run))
    return [] if table.empty else [table_of(table, "What it costs")]


def _training(run: OneRun) -> list[Table]:
    values = _below("train/", run)
    history = read_table(run.directory.history)
    if not values and history is not None and not history.empty:
        last = history.iloc[-1]
        values = {"epochs, then the run ended": float(last["epoch"])}
        values |= {str(name): float(last[name]) for name in history.columns if str(name).startswith("val/")}
    rows = [[name.replace("_", " "), cell(value)] for name, value in values.items()]
    return [Table(("training", ""), rows, "Training of the coded model")] if rows else []


def _overall(run: OneRun) -> list[Table]:
    overall = run.overall
    if overall is None:
        return []
    columns = ["fraction unavailable", *(f"{value:g}" for value in overall["fraction_unavailable"])]
    column = next(str(name) for name in overall.columns if str(name).startswith("overall_"))
    name = f"overall {score_name(column.removeprefix('overall_'))}"
    return [Table(columns, [[name, *(f"{value:.4f}" for value in overall[column])]], f"O{name[1:]}")]


def _below(prefix: str, run: OneRun) -> dict[str, float]:
    return {key.removeprefix(prefix): value for key, value in run.metrics.items() if key.startswith(prefix)}
