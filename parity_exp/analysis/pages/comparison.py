"""One page about many runs: tables, pictures, what differs between their configs, and what is wrong with some.

What stands on it is read from run directories alone, and the tidy tables lie beside it as CSV and Parquet.
"""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from parity_exp.analysis.figures.colours import Palette
from parity_exp.analysis.figures.comparison import comparison_figures
from parity_exp.analysis.figures.files import save
from parity_exp.analysis.figures.panels import PANELS, Plate
from parity_exp.analysis.figures.servers import server_tails
from parity_exp.analysis.figures.standings import standing_figures, standing_sentences, standings
from parity_exp.analysis.pages import captions
from parity_exp.analysis.pages.approaches import guide
from parity_exp.analysis.pages.comparison_findings import comparison_warnings, encoder_findings, policy_findings
from parity_exp.analysis.pages.map_section import map_section
from parity_exp.analysis.pages.page import Link, Page, Picture, Section, Table, picture
from parity_exp.analysis.pages.terms import OF_A_COMPARISON, terms
from parity_exp.analysis.runs.differences import written
from parity_exp.analysis.runs.pairs import pairs_of
from parity_exp.analysis.runs.servers import played, played_rows
from parity_exp.analysis.runs.tidy import Tidy, measured_codes
from parity_exp.analysis.tables.comparison import (
    CODE_KEYS,
    SETTING,
    accuracy_table,
    constant_words,
    latency_table,
    server_table,
    serving_costs,
    training_costs,
)
from parity_exp.analysis.tables.policy_map import map_points, standings_of_pairs
from parity_exp.files.writing import write_bytes, write_text
from parity_exp.process.side_channels import beside
from parity_exp.recordings import names
from parity_exp.recordings.gathered import GatheredRun
from parity_exp.recordings.search import natural_order
from parity_exp.words import counted

ROWS_SHOWN = 40
"""Tables with more rows are folded."""

VALUES_SHOWN = 12


@dataclass(frozen=True)
class Written:
    """What a report wrote.

    Attributes:
        page: ``report.html``.
        runs: the tidy table, a row a run.
        serving: the tidy table, a row a run and policy.
    """

    page: Path
    runs: pd.DataFrame
    serving: pd.DataFrame


def write_comparison(gathered: Sequence[GatheredRun], folder: Path, looked_for: Sequence[str]) -> Written:
    """Write ``report.html``, ``figures/``, and ``runs`` and ``serving`` as CSV and Parquet.

    Args:
        gathered: one run or more.
        folder: where to write.
        looked_for: the patterns that led to the runs.
    """
    tidy = Tidy(gathered)
    measured = measured_codes(tidy)
    points = map_points(tidy.serving, tidy.looks)
    standing = standings_of_pairs(pairs_of(gathered), tidy.serving, tidy.looks)
    for name, table in {names.MAP: points, names.STANDINGS: standing}.items():
        if not table.empty:
            write_text(folder / name, table.to_csv(index=False))
    tables = {names.RUNS: tidy.runs} | ({} if tidy.serving.empty else {names.SERVING: tidy.serving})
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
        content = io.BytesIO()
        table.to_parquet(content, index=False)
        write_bytes(folder / f"{name}.parquet", content.getvalue())
    pictures: dict[str, Picture] = {}
    with beside("figures"):
        plates = compared(tidy, measured, points)
        tails = server_tails(played(gathered, tidy), Palette(tidy.looks))
        plates |= {} if tails is None else {"server_tails": tails}
        pictures |= _pictures(plates, folder / names.FIGURES)
    path = folder / names.REPORT
    ComparisonPage(gathered, folder, tidy, measured, points, standing, pictures, looked_for).write(path)
    return Written(path, tidy.runs, tidy.serving)


def compared(tidy: Tidy, measured: pd.DataFrame, points: pd.DataFrame) -> dict[str, Plate]:
    """Every picture that runs, measured codes and the points of the map support, by the name of its file."""
    palette = Palette(tidy.looks, tidy.encoder_colours)
    return comparison_figures(measured, tidy.serving, palette) | standing_figures(tidy, points, palette)


def _pictures(plates: Mapping[str, Plate], folder: Path) -> dict[str, Picture]:
    if not plates:
        return {}
    paths = save({name: plate.figure for name, plate in plates.items()}, folder)
    pictures = {}
    for path in paths:
        left_out = plates[path.stem].left_out
        more = f" The {PANELS} panels with most runs are shown; {left_out} more are in the tables." if left_out else ""
        pictures[path.stem] = picture(path.stem, path.read_bytes(), captions.CAPTIONS[path.stem] + more)
    return pictures


@dataclass(frozen=True)
class ComparisonPage(Page):
    """What the page says."""

    gathered: Sequence[GatheredRun]
    folder: Path
    tidy: Tidy
    measured: pd.DataFrame
    points: pd.DataFrame
    standing: pd.DataFrame
    pictures: Mapping[str, Picture]
    looked_for: Sequence[str]

    @property
    def title(self) -> str:
        runs = self.tidy.runs
        parts = [counted(len(runs), "run")]
        if "dataset" in runs:
            for name in ("dataset", "architecture", "encoder"):
                values = [str(value) for value in runs[name].dropna().unique()]
                parts.append(", ".join(values) if len(values) <= 4 else f"{len(values)} {name}s")
            ks = [str(k) for k in sorted(runs["k"].dropna().unique())]
            parts.append(f"k = {', '.join(ks) if len(ks) <= 6 else f'{ks[0]} to {ks[-1]}'}")
        return "; ".join(parts)

    @property
    def warnings(self) -> list[str]:
        return comparison_warnings(self.tidy.runs, self.measured, self.tidy.serving)

    @property
    def summary(self) -> list[str]:
        commands = self.tidy.runs["command"].value_counts()
        kinds = ", ".join(f"{count:,} {command}" for command, count in commands.items())
        patterns = ", ".join(self.looked_for)
        found = f"Run directories in {patterns}: {len(self.gathered):,} ({kinds})."
        standing = standing_sentences(standings(self.tidy.serving, self.tidy.looks))
        policies = policy_findings(self.tidy.serving, self.tidy.looks)
        return [found, *encoder_findings(self.measured), *policies, *standing]

    def sections(self) -> list[Section]:
        serving = self.tidy.serving
        return [
            guide(() if serving.empty else list(serving["policy"].unique()), self.tidy.looks),
            map_section(self.tidy, self.points, self.standing, self.pictures),
            self._accuracy(),
            self._servers(),
            self._serving(),
            self._cost(),
            self._differences(),
            self._problems(),
            Section("files", "Files", self._files(), [terms(OF_A_COMPARISON, "Terms")]),
        ]

    def _accuracy(self) -> Section:
        text, tables = _stated(accuracy_table(self.measured), CODE_KEYS, "Accuracy on the test split")
        again = int((self.tidy.runs["command"] == "evaluate").sum())
        if tables and again:
            text.append(
                "What `evaluate` measured again of a run that is here itself is in runs.csv and not counted here."
            )
        return Section("accuracy", "Accuracy", text, tables, self._chosen(captions.COMPARED_CODES))

    def _servers(self) -> Section:
        rows = played_rows(self.tidy.serving)
        if rows.empty or rows["policy"].nunique() < 2:
            return Section("servers", "Servers")
        text, tables = _stated(server_table(rows), ["load"], "Servers that the same load was played against")
        return Section("servers", "Servers", text, tables, self._chosen(captions.COMPARED_SERVERS))

    def _serving(self) -> Section:
        if self.tidy.serving.empty:
            return Section("serving", "Serving")
        keys = [*SETTING, "load"]
        text, tables = _stated(latency_table(self.tidy.serving), keys, "Latency, accuracy and sources of answers")
        return Section("serving", "Serving", text, tables, self._chosen(captions.COMPARED_SERVING))

    def _cost(self) -> Section:
        text, tables = _stated(training_costs(self.measured), CODE_KEYS, "Training of the code")
        if not self.tidy.serving.empty:
            keys = [*CODE_KEYS, "base_instances"]
            more, served = _stated(serving_costs(self.tidy.serving), keys, "Serving, beside the base instances")
            text, tables = list(dict.fromkeys([*text, *more])), [*tables, *served]
        return Section("cost", "Cost", text, tables)

    def _differences(self) -> Section:
        if len(self.gathered) < 2:
            return Section("differences", "The runs", tables=[self._runs()])
        rows = [[", ".join([key, *others]), self._values(key)] for key, others in self.tidy.differing.items()]
        tables = [Table(("key", "values, with the number of runs"), rows, "Config keys that differ")] if rows else []
        text = [] if rows else ["The configs of these runs are the same."]
        text.append("All other config values are the same wherever there are any; each run's page has its own.")
        return Section("differences", "The runs and their differences", text, [*tables, self._runs()])

    def _values(self, key: str) -> str:
        counts = sorted(self.tidy.values_of(key).items(), key=lambda pair: natural_order(str(pair[0])))
        words = [f"{written(value)} ({count:,})" for value, count in counts[:VALUES_SHOWN]]
        return ", ".join(words) + (f" and {len(counts) - VALUES_SHOWN:,} more" if len(counts) > VALUES_SHOWN else "")

    def _runs(self) -> Table:
        """A row a run: a link to it, its command, and what sets it apart."""
        words = self.tidy.differences()
        rows = []
        for run in self.gathered:
            command = run.command if run.state == "finished" else f"{run.command}, {run.state}"
            rows.append((self._link(run), command, words.get(str(run.path), "") or "-"))
        title = f"All runs ({len(rows):,})"
        return Table(("run", "command", "differs by"), rows, title, len(rows) > ROWS_SHOWN, words=3)

    def _problems(self) -> Section:
        rows = [(self._link(run), problem) for run in self.gathered for problem in run.problems]
        if not rows:
            return Section("problems", "Problems")
        text = ["Runs that are unfinished or damaged; what could be read of the others is counted above."]
        title = counted(len(rows), "problem")
        return Section(
            "problems", "Problems", text, [Table(("run", "problem"), rows, title, len(rows) > 5 * ROWS_SHOWN)]
        )

    def _files(self) -> list[str]:
        lines = [
            f"runs.csv, runs.parquet: a row a run ({len(self.tidy.runs):,}), with the config values that differ and "
            "the metrics."
        ]
        if not self.tidy.serving.empty:
            lines.append(
                f"serving.csv, serving.parquet: a row a run and policy ({len(self.tidy.serving):,}), with the policy's "
                "metrics."
            )
        if not self.points.empty:
            lines.append(f"{names.MAP}: a row a run and percentile, with the policy to take there.")
        if not self.standing.empty:
            lines.append(f"{names.STANDINGS}: a row a pair of policies and percentile: how often which is better.")
        return lines

    def _link(self, run: GatheredRun) -> Link:
        """To a run's own page, or to its folder."""
        target = run.path / names.REPORT if names.REPORT in run.files else run.path
        return Link(str(run.path), quote(os.path.relpath(target, self.folder)))

    def _chosen(self, kinds: Sequence[str]) -> list[Picture]:
        return [self.pictures[name] for name in kinds if name in self.pictures]


def _stated(table: pd.DataFrame, keys: Sequence[str], title: str) -> tuple[list[str], list[Table]]:
    """A table without the keys that are the same in all of its rows, and these in a sentence."""
    if table.empty:
        return [], []
    shorter, words = constant_words(table, keys)
    columns = [str(name).replace("policy_variant", "policy").replace("_", " ") for name in shorter.columns]
    rows = [[str(value) for value in row] for row in shorter.itertuples(index=False)]
    text = [f"{title}, all with {', '.join(words)}."] if words else []
    if len(rows) > ROWS_SHOWN:
        title = f"{title} ({len(rows):,} rows)"
    return text, [Table(columns, rows, title, len(rows) > ROWS_SHOWN, words=columns.index("runs"))]
