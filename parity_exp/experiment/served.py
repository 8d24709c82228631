"""Serve a trained run as a part of a job: tracked, with a report, and shown."""

from collections.abc import Mapping

from parity_exp.analysis.pages.run import write_report
from parity_exp.experiment.keys import naming_keys
from parity_exp.experiment.serving import ServingPlan
from parity_exp.process.side_channels import beside
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.serving.session import serve
from parity_exp.tracking import Tracker


def serve_run(
    plan: ServingPlan,
    trained: RunDirectory,
    backups: Mapping[str, RunDirectory],
    run: RunDirectory,
    tracker: Tracker,
    earlier: Mapping[str, float],
) -> dict[str, float]:
    """Serve every policy; write the run directory and its report; print the tables; return all metrics.

    Args:
        plan: how to serve; the experiment's code has its trained encoder and decoder.
        trained: whose checkpoints.
        backups: where each small model of an approximate backup is, or is to be.
        run: where to write.
        tracker: is told everything.
        earlier: metrics of what the job has done before.
    """
    given = plan.arguments(trained, backups, run, tracker)
    chosen = given.pop("earlier")
    with naming_keys():
        result = serve(**given, earlier={**earlier, **chosen})
    metrics = result.metrics | chosen
    tracker.results(metrics, result.tables)
    tracker.figures(list(result.figure_files))
    with beside("report"):
        write_report(run.path)
    result.show()
    print(f"run directory: {run.path}" + (f"\nreport: {run.report}" if run.report.is_file() else ""))
    return metrics
