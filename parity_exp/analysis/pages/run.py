"""One self-contained HTML page about a run, from its run directory alone: what a researcher sends to a colleague.

Whatever a run directory lacks is left out of the page: a run that only trained has no serving sections, one that was
interrupted has what was recorded until then.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from parity_exp.analysis.figures.capacity import capacity_figures
from parity_exp.analysis.figures.files import png
from parity_exp.analysis.figures.serving import serving_figures
from parity_exp.analysis.pages import captions, findings
from parity_exp.analysis.pages.approaches import guide
from parity_exp.analysis.pages.cells import cell
from parity_exp.analysis.pages.code_section import code_section
from parity_exp.analysis.pages.page import Page, Picture, Section, Table, picture
from parity_exp.analysis.pages.run_facts import coded_facts, serving_facts, title_of
from parity_exp.analysis.pages.serving_sections import capacity_section, serving_section, straggler_section
from parity_exp.analysis.pages.terms import OF_A_RUN, terms
from parity_exp.analysis.runs.one_run import OneRun
from parity_exp.analysis.tables.capacity import capacity_findings
from parity_exp.recordings.names import PICTURE
from parity_exp.recordings.overall_accuracy import OVERALL
from parity_exp.recordings.reader import read_table
from parity_exp.recordings.run_directory import RunDirectory


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run directory; return its path.

    Raises:
        UserError: it is not a run directory, or one of its files is damaged.
    """
    run = RunDirectory.existing(run_dir, "run")
    RunPage(OneRun(run)).write(run.report)
    return run.report


class RunPage(Page):
    """What the page says about a run."""

    def __init__(self, run: OneRun) -> None:
        self.run = run

    @property
    def title(self) -> str:
        return title_of(self.run.config, list(self.run.policies) or self.run.planned_policies)

    @property
    def warnings(self) -> list[str]:
        queries = self.run.load.get("queries")
        measured = findings.warnings(self.run.policies, queries if isinstance(queries, int) else None)
        wrong = findings.error_warnings(self.run.recordings.errors)
        return measured + wrong + findings.frontend_warnings(self.run.recordings.queries)

    @property
    def summary(self) -> list[str]:
        run = self.run
        return [
            *([] if run.plan is None else capacity_findings(run.plan)),
            *findings.serving_findings(run.policies, run.looks),
            *findings.wrong_answer_findings(run.policies),
            *findings.accuracy_findings(run.metrics, run.overall),
        ]

    def sections(self) -> list[Section]:
        run, pictures = self.run, self._pictures()
        known = {*captions.CAPACITY, *captions.SERVING, *captions.CODE}
        others = sorted(name for name in pictures if captions.kind_of(name) not in known)
        return [
            capacity_section(run, _chosen(pictures, captions.CAPACITY)),
            serving_section(run, _chosen(pictures, captions.SERVING)),
            straggler_section(run),
            code_section(run, _chosen(pictures, captions.CODE)),
            Section("figures", "Other figures", pictures=[pictures[name] for name in others]),
            guide(run.policies or run.planned_policies, run.looks),
            self._what_was_run(),
            Section("terms", "Terms", tables=[terms(OF_A_RUN)]),
            self._environment(),
        ]

    def _what_was_run(self) -> Section:
        run = self.run
        tables = [coded_facts(run.config, run.descriptions)]
        if run.policies or run.plan is not None:
            tables.append(serving_facts(run.config, run.descriptions, run.looks))
        given = run.directory.read_overrides()
        text = [] if given is None else [f"Given on the command line: {' '.join(given) or 'nothing'}."]
        code = {"Full config": run.directory.config.read_text()}
        return Section("config", "What was run", text, tables, code=code)

    def _environment(self) -> Section:
        content = self.run.directory.read_environment()
        rows = [[str(key).replace("_", " "), cell(value)] for key, value in content.items()]
        return Section("environment", "Environment", tables=[Table(("what", "value"), rows)] if rows else [])

    def _pictures(self) -> dict[str, Picture]:
        """The figures of the run by name; those that it had no time to draw are drawn now."""
        run, folder = self.run, self.run.directory.figures
        files = sorted(folder.glob(f"*{PICTURE}")) if folder.is_dir() else []
        contents = {path.stem: path.read_bytes() for path in files}
        there = {captions.kind_of(name) for name in contents}
        sizes = read_table(run.directory.plan_sizes)
        if run.plan is not None and sizes is not None and not there.intersection(captions.CAPACITY):
            contents |= {name: png(drawn) for name, drawn in capacity_figures(run.plan, sizes, run.looks).items()}
        if not there.intersection(captions.SERVING):
            had = {policy: values["instances"] for policy, values in run.policies.items() if "instances" in values}
            drawn = serving_figures(
                run.recordings.queries,
                run.recordings.tasks,
                run.recordings.trace,
                run.slo_ms,
                had,
                run.looks,
                {policy: values[OVERALL] for policy, values in run.policies.items() if OVERALL in values},
            )
            contents |= {name: png(figure) for name, figure in drawn.items()}
        ranks = {policy: rank for rank, policy in enumerate(run.recordings.queries)}
        names = sorted(contents, key=lambda name: (captions.kind_of(name), ranks.get(name.partition("-")[2], -1)))
        return {name: _picture(name, contents[name]) for name in names}


def _picture(name: str, content: bytes) -> Picture:
    policy = name.partition("-")[2]
    words = captions.CAPTIONS.get(captions.kind_of(name), name.replace("_", " "))
    return picture(name, content, (f"{policy}. " if policy else "") + words)


def _chosen(pictures: Mapping[str, Picture], kinds: Sequence[str]) -> list[Picture]:
    """The pictures of some kinds, in the order of these, and of the run's policies within one."""
    return [picture for kind in kinds for name, picture in pictures.items() if captions.kind_of(name) == kind]
