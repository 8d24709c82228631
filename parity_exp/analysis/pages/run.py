"""One self-contained HTML page about a run, from its run directory alone: what a researcher sends to a colleague.

Whatever a run directory lacks is left out of the page: a run that only trained has no serving sections, one that was
interrupted has what was recorded until then.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from parity_exp.analysis.figures.capacity import capacity_figures
from parity_exp.analysis.figures.files import png
from parity_exp.analysis.figures.serving import serving_figures
from parity_exp.analysis.pages import findings
from parity_exp.analysis.pages.approaches import guide
from parity_exp.analysis.pages.page import Picture, Section, Table, picture, write_page
from parity_exp.analysis.pages.run_facts import coded_facts, load_sentences, serving_facts, straggler_rows, title_of
from parity_exp.analysis.tables.capacity import capacity_findings, capacity_table
from parity_exp.analysis.tables.quality import part_costs, quality_table, score_name
from parity_exp.analysis.tables.serving import (
    cost_table,
    interval_table,
    percentile_table,
    written,
    wrong_answers_table,
)
from parity_exp.errors import UserError
from parity_exp.recordings.looks import read_looks
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.metric_keys import metrics_by_policy
from parity_exp.recordings.reader import Recordings, read_recordings
from parity_exp.recordings.run_directory import RunDirectory

CAPTIONS = {
    "machines_against_slo": (
        "What an objective costs: the fewest machines on which each policy keeps it. The lower, the cheaper; a cross "
        "at the top: not on any cluster that was allowed."
    ),
    "latency_against_machines": (
        "The percentile of latency on every cluster that was simulated; dotted: the objectives, and the machines that "
        "the queries alone keep busy. Where a curve levels off, further machines buy nothing. Overloaded clusters are "
        "left out."
    ),
    "latency_ccdf": (
        "Latency of all policies. At height 0.001 a curve is at its p99.9: the further left and the steeper, the "
        "better. A curve that bends to the right has a tail."
    ),
    "accuracy_against_tail": (
        "What clients got: how often it was right, and how late the latest of it came. The best policies are at the "
        "upper left; one that has none there in both respects buys nothing."
    ),
    "accuracy_against_slo": (
        "Accuracy of what clients would have got under other deadlines: an answer later than the deadline counts as "
        "the default answer. A reconstruction that is in time but wrong costs as much as a default."
    ),
    "answer_sources": "What answered: the base model itself, a reconstruction, a backup, the default at the deadline.",
    "latency_over_time": (
        "Every query, by its scheduled arrival. Bursts of late queries belong to slowdowns; a rising floor means that "
        "a policy is overloaded."
    ),
    "instance_timeline": (
        "A few seconds of the run; all policies show the same ones, chosen where the baseline was latest. Above, a "
        "line a query, from its scheduled arrival to its answer; red ones are the policy's slowest hundredth. Below, "
        "what each instance did, what was injected, and who answered the slow queries."
    ),
    "learning_curves": "Training. The best epoch by validation is the one that was kept.",
    "overall_accuracy": "Accuracy over all queries when a fraction of the predictions is unavailable.",
    "overall_iou": "Mean IoU over all queries when a fraction of the predictions is unavailable.",
    "degraded_by_class": "Accuracy by class, of the base model and of reconstructions.",
    "groups": (
        "Coding groups of the test split, their parity queries, and what comes back when a prediction is lost; red "
        "where it is not the base model's own. Boxes: the base model's own is solid, the rebuilt one dashed."
    ),
}
SERVING_PICTURES = (
    "latency_ccdf",
    "accuracy_against_tail",
    "accuracy_against_slo",
    "answer_sources",
    "latency_over_time",
    "instance_timeline",
)
CAPACITY_PICTURES = ("machines_against_slo", "latency_against_machines")
CODE_PICTURES = ("overall_accuracy", "overall_iou", "groups", "degraded_by_class", "learning_curves")

TERMS = {
    "latency": "from a query's scheduled arrival to its answer; a stalled frontend cannot hide",
    "p99.9": "the latency that 99.9 % of the queries did not exceed; an observed value, nothing is interpolated",
    "gap": "p99.9 - p50",
    "available accuracy": "of the base model's own predictions",
    "degraded accuracy": "of reconstructed predictions, averaged over which prediction of a group is lost",
    "reconstruction accuracy": "share of reconstructed predictions that agree with the base model's own",
    "IoU": "area that two boxes share over the area that they cover; a box is right from 0.75 on",
    "overall accuracy, IoU": "(1 - f) x available + f x degraded, f the fraction of predictions unavailable",
    "accuracy (serving)": "of the answers that clients got, whatever their source",
    "corrupted": "answers that went out with an output in them that was spoilt on purpose",
    "unnoticed": "corrupted answers that no policy has flagged",
    "detected, false alarms": (
        "of the comparisons of a group's (or of two copies') outputs with a corrupted one among them, and of those "
        "without, the share that found a contradiction"
    ),
    "lost": "queries that were sent and never answered; must be 0",
}


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run directory; return its path.

    Raises:
        UserError: it is not a run directory, or one of its files is damaged.
    """
    run = RunDirectory.existing(run_dir, "run")
    page = _Page(run)
    path = run.path / "report.html"
    write_page(path, page.title, page.summary, page.warnings, page.sections())
    return path


class _Page:
    """What the page says about a run."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        plain = OmegaConf.to_container(run.read_config())
        assert isinstance(plain, dict)
        self.config: dict[str, Any] = {str(key): value for key, value in plain.items()}

    @cached_property
    def metrics(self) -> dict[str, float]:
        """What the run has written; of an interrupted one what its recordings give."""
        content = _json(self.run.metrics) if self.run.metrics.is_file() else {}
        written = {key: value for key, value in content.items() if isinstance(value, int | float)}
        if metrics_by_policy(written):
            return written
        return written | {
            f"serve/{policy}/{name}": value
            for policy, queries in read_recordings(self.run.path).queries.items()
            for name, value in serving_metrics(queries).items()
        }

    @cached_property
    def policies(self) -> dict[str, dict[str, float]]:
        """What was served, or simulated, by policy."""
        return metrics_by_policy(self.metrics)

    @cached_property
    def plan(self) -> pd.DataFrame | None:
        """A row a policy and objective, where capacity was planned."""
        return self._csv("plan")

    @cached_property
    def recordings(self) -> Recordings:
        return read_recordings(self.run.path, self.policies)

    @property
    def title(self) -> str:
        planned = [] if self.plan is None else list(dict.fromkeys(self.plan["policy"]))
        return title_of(self.config, list(self.policies) or planned)

    @property
    def warnings(self) -> list[str]:
        load = self.config.get("load")
        queries = load.get("queries") if isinstance(load, dict) else None
        measured = findings.warnings(self.policies, queries if isinstance(queries, int) else None)
        wrong = findings.error_warnings(self.recordings.errors)
        return measured + wrong + findings.frontend_warnings(self.recordings.queries)

    @property
    def summary(self) -> list[str]:
        return [
            *([] if self.plan is None else capacity_findings(self.plan)),
            *findings.serving_findings(self.policies),
            *findings.wrong_answer_findings(self.policies),
            *findings.accuracy_findings(self.metrics, self._csv("overall")),
        ]

    def sections(self) -> list[Section]:
        pictures = self._pictures()
        known = {*CAPACITY_PICTURES, *SERVING_PICTURES, *CODE_PICTURES}
        others = sorted(name for name in pictures if _kind(name) not in known)
        return [
            self._capacity(_chosen(pictures, CAPACITY_PICTURES)),
            self._serving(_chosen(pictures, SERVING_PICTURES)),
            self._injected(),
            self._code(_chosen(pictures, CODE_PICTURES)),
            Section("figures", "Other figures", pictures=[pictures[name] for name in others]),
            guide(self.policies, read_looks(self.run.path)),
            self._what_was_run(),
            Section("terms", "Terms", tables=[Table(("term", "meaning"), list(TERMS.items()))]),
            self._environment(),
        ]

    def _capacity(self, pictures: list[Picture]) -> Section:
        if self.plan is None:
            return Section("capacity", "Capacity", pictures=pictures)
        text = [
            "The fewest machines, of base and other models together, on which each policy keeps an objective, found "
            "by simulating clusters of many sizes. All sizes and policies had the same arrivals, and those with as "
            "many machines the same stragglers. An answer lies above every size that was seen to miss the objective. "
            "Answers that are the default or an error count as too late, and so do all on a cluster whose latency "
            "grew through the run.",
            "Times p50: the objective in medians of a query that nothing delays. Utilisation: the share of all "
            "machines that the queries keep busy if each is served once and nothing delays it; busy: the share of the "
            "time that they really worked.",
        ]
        table = _table(capacity_table(self.plan), "Fewest machines")
        return Section("capacity", "Capacity", text, [table], pictures)

    def _serving(self, pictures: list[Picture]) -> Section:
        if not self.policies:
            return Section("serving", "Serving", pictures=pictures)
        percentiles, costs = percentile_table(self.policies), cost_table(self.policies)
        tables = [_table(written(percentiles), "Latency, accuracy and sources of answers")]
        intervals = interval_table(self.policies)
        if not intervals.empty:
            tables.append(_table(intervals, "Means over seeds, and half of their 95 % confidence intervals"))
        if len(costs.columns) > 1:
            tables.append(_table(written(costs), "What it took"))
        wrong = wrong_answers_table(self.policies)
        if not wrong.empty:
            tables.append(_table(written(wrong), "Wrong answers, and who noticed"))
        if not self.recordings.errors.empty:
            tables.append(_table(self.recordings.errors, "What went wrong with instances and models"))
        return Section(
            "serving", "Serving", load_sentences(self.config, self.recordings, self.metrics), tables, pictures
        )

    def _injected(self) -> Section:
        rows = straggler_rows(self.recordings.trace)
        if not rows:
            return Section("stragglers", "Stragglers")
        text = [
            "Policies with as many instances met the same disturbances at the same times (straggler-trace.csv), and "
            "each met what it would have met alone; one with fewer instances never meets the rows of those it lacks."
        ]
        columns = ("kind", "rows", "instances", "seconds in all", "factor", "mean extra ms", "greatest extra ms")
        return Section("stragglers", "Injected stragglers", text, [Table(columns, rows)])

    def _code(self, pictures: list[Picture]) -> Section:
        tables = [*self._accuracy(), *self._costs(), *self._training()]
        overall, per_class = self._csv("overall"), self._csv("per_class")
        if overall is not None:
            columns = ["fraction unavailable", *(f"{value:g}" for value in overall["fraction_unavailable"])]
            column = next(str(name) for name in overall.columns if str(name).startswith("overall_"))
            name = f"overall {score_name(column.removeprefix('overall_'))}"
            cells = [name, *(f"{value:.4f}" for value in overall[column])]
            tables.append(Table(columns, [cells], f"O{name[1:]}"))
        if per_class is not None:
            tables.append(_table(per_class, "By class", folded=True))
        return Section("code", "The code", tables=tables, pictures=pictures)

    def _accuracy(self) -> list[Table]:
        """A row for what was measured on the test split, a column a score."""
        prefix = "test/"
        table = quality_table(
            {key.removeprefix(prefix): v for key, v in self.metrics.items() if key.startswith(prefix)}
        )
        if table.empty:
            return []
        rows = [
            [name, *(f"{v:.4f}" if v == v else "-" for v in cells)] for name, *cells in table.itertuples(index=False)
        ]
        return [Table(["test split", *(str(name) for name in table.columns[1:])], rows, "Quality")]

    def _costs(self) -> list[Table]:
        """A row a part: its parameters, operations, and microseconds."""
        table = part_costs({key.removeprefix("cost/"): v for key, v in self.metrics.items() if key.startswith("cost/")})
        return [] if table.empty else [_table(table, "What it costs")]

    def _training(self) -> list[Table]:
        values = {key.removeprefix("train/"): value for key, value in self.metrics.items() if key.startswith("train/")}
        history = self._csv("history")
        if not values and history is not None and not history.empty:
            last = history.iloc[-1]
            values = {"epochs, then the run ended": float(last["epoch"])}
            values |= {name: float(last[name]) for name in history.columns if name.startswith("val/")}
        rows = [[name.replace("_", " "), _value(value)] for name, value in values.items()]
        return [Table(("training", ""), rows, "Training of the coded model")] if rows else []

    def _what_was_run(self) -> Section:
        tables = [Table(("part", "value"), coded_facts(self.config), "The code")]
        if self.policies or self.plan is not None:
            tables.append(Table(("part", "value"), serving_facts(self.config), "Serving"))
        overrides = self.run.path / ".hydra" / "overrides.yaml"
        text = []
        if overrides.is_file():
            given = [str(line) for line in OmegaConf.to_container(OmegaConf.load(overrides)) or []]
            text.append(f"Given on the command line: {' '.join(given) or 'nothing'}.")
        return Section("config", "What was run", text, tables, code={"Full config": self.run.config.read_text()})

    def _environment(self) -> Section:
        path = self.run.path / "environment.json"
        content = _json(path) if path.is_file() else {}
        rows = [[str(key).replace("_", " "), _value(value)] for key, value in content.items()]
        return Section("environment", "Environment", tables=[Table(("what", "value"), rows)] if rows else [])

    def _pictures(self) -> dict[str, Picture]:
        """The figures of the run by name; serving figures that it had no time to draw are drawn now."""
        files = sorted(self.run.figures.glob("*.png")) if self.run.figures.is_dir() else []
        contents = {path.stem: path.read_bytes() for path in files}
        sizes = self._csv("plan-sizes")
        if self.plan is not None and sizes is not None and not any(name in CAPACITY_PICTURES for name in contents):
            contents |= {name: png(figure) for name, figure in capacity_figures(self.plan, sizes).items()}
        if not any(_kind(name) in SERVING_PICTURES for name in contents):
            load = self.config.get("load")
            slo_ms = load.get("slo_ms") if isinstance(load, dict) else None
            found = self.recordings
            had = {policy: values["instances"] for policy, values in self.policies.items() if "instances" in values}
            for name, figure in serving_figures(found.queries, found.tasks, found.trace, slo_ms, had).items():
                contents[name] = png(figure)
        ranks = {policy: rank for rank, policy in enumerate(self.recordings.queries)}
        names = sorted(contents, key=lambda name: (_kind(name), ranks.get(name.partition("-")[2], -1)))
        return {name: _picture(name, contents[name]) for name in names}

    def _csv(self, name: str) -> pd.DataFrame | None:
        path = self.run.path / f"{name}.csv"
        return pd.read_csv(path) if path.is_file() else None


def _picture(name: str, content: bytes) -> Picture:
    policy = name.partition("-")[2]
    caption = (f"{policy}. " if policy else "") + CAPTIONS.get(_kind(name), name.replace("_", " "))
    return picture(name, content, caption)


def _chosen(pictures: Mapping[str, Picture], kinds: Sequence[str]) -> list[Picture]:
    """The pictures of some kinds, in the order of these, and of the run's policies within one."""
    return [picture for kind in kinds for name, picture in pictures.items() if _kind(name) == kind]


def _kind(name: str) -> str:
    """What a figure shows: its name without the policy, ``instance_timeline-parity``."""
    return name.partition("-")[0]


def _table(table: pd.DataFrame, title: str, folded: bool = False) -> Table:
    columns = [str(name).replace("_", " ") for name in table.columns]
    return Table(columns, [[_value(value) for value in row] for row in table.itertuples(index=False)], title, folded)


def _value(value: object) -> str:
    """A value as people read it."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_value(entry) for entry in value)
    return "-" if value is None else str(value)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error}); restore it or run again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected an object; restore it or run again")
    return content
