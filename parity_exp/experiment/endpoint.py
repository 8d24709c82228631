"""Put a trained run behind the Open Inference Protocol as a part of a job: tracked, and with a report in the end."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from parity_exp.analysis.pages.run import write_report
from parity_exp.errors import ConfigError, UserError
from parity_exp.experiment.keys import naming_keys
from parity_exp.experiment.serving import ServingPlan
from parity_exp.process.side_channels import beside
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tracking import Tracker

NEEDED = ("starlette", "uvicorn", "httptools", "uvloop", "grpc", "google.protobuf", "prometheus_client")


def check_endpoint(config: DictConfig) -> None:
    """Refuse an endpoint that cannot be.

    Raises:
        ConfigError: several policies.
        UserError: what it needs is not installed.
    """
    missing = [name for name in NEEDED if not _is_there(name)]
    if missing:
        raise UserError(f"endpoint: {', '.join(missing)} not installed; pip install 'parity_exp[endpoint]'")
    policies = [str(name) for name in config.get("redundancy") or {}]
    if len(policies) != 1:
        raise ConfigError(f"redundancy=[{','.join(policies)}]: an endpoint has one policy; give redundancy=adaptive")


def serve_clients(
    plan: ServingPlan,
    trained: RunDirectory,
    backups: Mapping[str, RunDirectory],
    run: RunDirectory,
    tracker: Tracker,
) -> dict[str, float]:
    """Answer clients until a signal comes; write the run directory and its report; return the metrics.

    Args:
        plan: how to serve; the experiment's code has its trained encoder and decoder.
        trained: whose checkpoints.
        backups: where each small model of an approximate backup is, or is to be.
        run: where to write.
        tracker: is told the results.
    """
    from parity_exp.endpoint.server import Server
    from parity_exp.endpoint.session import serve_live
    from parity_exp.endpoint.settings import Settings

    config = plan.config
    values: Any = OmegaConf.to_container(config.endpoint)
    settings = Settings(port=config.port, grpc_port=config.grpc_port, **values)

    def listening(server: Server) -> None:
        scheme = "http" if settings.tls_cert is None else "https"
        print(f"listening: {scheme}://{settings.host}:{server.port}", flush=True)
        if server.grpc_port is not None:
            print(f"listening: grpc://{settings.host}:{server.grpc_port}", flush=True)

    given = live_arguments(plan, trained, backups, run, tracker)
    chosen = given.pop("earlier")
    with naming_keys():
        result = serve_live(**given, settings=settings, folder=run.path, listening=listening, earlier=chosen)
    metrics = result.metrics | chosen
    tracker.results(metrics, result.tables)
    tracker.figures(list(result.figure_files))
    if not result.queries.empty:
        with beside("report"):
            write_report(run.path)
        result.show()
    print(f"run directory: {run.path}" + (f"\nreport: {run.report}" if run.report.is_file() else ""))
    return metrics


def live_arguments(
    plan: ServingPlan,
    trained: RunDirectory,
    backups: Mapping[str, RunDirectory],
    run: RunDirectory,
    tracker: Tracker,
) -> dict[str, Any]:
    """Arguments of :func:`parity_exp.serve_live` for a run, ``earlier`` among them."""
    if plan.experiment.over_models:
        raise ConfigError(
            "run: its code is over k models, of each of which a query wants a prediction; an endpoint has one model; "
            "take a run of code=parity"
        )
    given = plan.arguments(trained, backups, run, tracker)
    for name in ("labels", "load", "folder"):
        given.pop(name)
    return given | {"prepare": plan.experiment.splits.from_clients}


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
