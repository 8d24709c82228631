"""Put a trained run behind the Open Inference Protocol as a part of a job: tracked, and with a report in the end."""

import importlib.util
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from parity_exp.analysis.pages.run import write_report
from parity_exp.endpoint.settings import Settings
from parity_exp.errors import ConfigError, UserError
from parity_exp.experiment.job import put_on_record
from parity_exp.experiment.keys import naming_keys
from parity_exp.experiment.versions import Version
from parity_exp.process.side_channels import beside
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.tracking import Tracker

NEEDED = ("starlette", "uvicorn", "httptools", "uvloop", "grpc", "google.protobuf", "prometheus_client")


def check_endpoint(config: DictConfig) -> None:
    """Refuse an endpoint that cannot be.

    Raises:
        ConfigError: several policies.
        UserError: what it needs is not installed, or a file that it names is not what it should be.
    """
    missing = [name for name in NEEDED if not _is_there(name)]
    if missing:
        raise UserError(f"endpoint: {', '.join(missing)} not installed; pip install 'parity_exp[endpoint]'")
    policies = [str(name) for name in config.get("redundancy") or {}]
    if len(policies) != 1:
        raise ConfigError(f"redundancy=[{','.join(policies)}]: an endpoint has one policy; give redundancy=adaptive")
    settings = settings_of(config)
    settings.certificate()
    settings.token()


def settings_of(config: DictConfig) -> Settings:
    """What the endpoint is told."""
    values: Any = OmegaConf.to_container(config.endpoint)
    return Settings(port=config.port, grpc_port=config.grpc_port, **values)


def serve_clients(versions: Sequence[Version], run: RunDirectory, tracker: Tracker) -> dict[str, float]:
    """Answer clients until a signal comes; write the run directory and its report; return the metrics.

    Args:
        versions: of the model, the newest last.
        run: where to write; what older versions did goes into folders of their own below it.
        tracker: is told the results.
    """
    from parity_exp.endpoint.server import Server
    from parity_exp.endpoint.session import serve_live

    *before, newest = versions
    settings = settings_of(newest.config)
    older = [version.arguments(_below(run, version), tracker) for version in before]
    given = newest.arguments(run, tracker)
    chosen = given["earlier"]

    def listening(server: Server) -> None:
        scheme = "http" if settings.tls_cert is None else "https"
        print(f"listening: {scheme}://{settings.host}:{server.port}", flush=True)
        if server.grpc_port is not None:
            print(f"listening: grpc://{settings.host}:{server.grpc_port}", flush=True)

    with naming_keys():
        result = serve_live(**given, settings=settings, listening=listening, older=older)
    metrics = result.metrics | chosen
    tracker.results(metrics, result.tables)
    tracker.figures(list(result.figure_files))
    if not result.queries.empty:
        with beside("report"):
            write_report(run.path)
        result.show()
    print(f"run directory: {run.path}" + (f"\nreport: {run.report}" if run.report.is_file() else ""))
    return metrics


def _below(run: RunDirectory, version: Version) -> RunDirectory:
    """The folder of an older version."""
    made = RunDirectory(run.path / f"version-{version.number}")
    made.path.mkdir(exist_ok=True)
    put_on_record(version.config, made)
    return made


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
