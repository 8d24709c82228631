"""Serve models to real clients from a program: modules and a policy go in, requests from a network are answered."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from parity_exp.checks import SettingError
from parity_exp.data import Preparation
from parity_exp.disturbances.trace import trace_text
from parity_exp.endpoint.hub import Hub
from parity_exp.endpoint.live_load import LiveLoad
from parity_exp.endpoint.protocol.facts import Facts
from parity_exp.endpoint.server import Server
from parity_exp.endpoint.service import Service
from parity_exp.endpoint.settings import Settings
from parity_exp.endpoint.watch import Metrics
from parity_exp.files.writing import write_text
from parity_exp.policies.policy import BASE
from parity_exp.process.interrupts import ctrl_c_waits
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.scenario.folder import finished, looks_of, prepared, trace_table
from parity_exp.scenario.given import GivenPolicies
from parity_exp.scenario.result import ServingResult
from parity_exp.serving.modules import GivenModel
from parity_exp.serving.session import assembled


def serve_live(
    models: GivenModel | Mapping[str, GivenModel],
    queries: Tensor,
    *,
    policies: GivenPolicies,
    settings: Settings | None = None,
    prepare: Preparation | None = None,
    folder: str | Path | None = None,
    listening: Callable[[Server], None] = lambda _: None,
    version: str | None = None,
    older: Sequence[Mapping[str, Any]] = (),
    earlier: Mapping[str, float] | None = None,
    **of_serve: Any,
) -> ServingResult:
    """Answer clients of the Open Inference Protocol until SIGTERM or Ctrl-C.

    What :func:`parity_exp.serve` measures with a played load, this does for clients who exist::

        from parity_exp import serve_live
        from parity_exp.policies import Adaptive

        serve_live(trained.base, queries, policies=Adaptive, code=trained.code, parity_models=trained.parity_models)

    Args:
        models: the base model, as for :func:`parity_exp.serve`.
        queries: ``(N, *query_shape)``, float32: examples, which say what shape queries have.
        policies: one.
        settings: where to listen, and how much to take.
        prepare: brings the bytes of a picture or a text to what networks see, ``(*query_shape)``; None: clients send
            tensors.
        folder: where to write a run directory in the end; None: nothing is written.
        listening: is called when requests are taken, with the server and its ports.
        version: the number that clients know this version by; None: one more than there are older ones.
        older: arguments of the same names for older versions of the model, the oldest first.
        earlier: metrics of what was done in the folder before.
        of_serve: further arguments of :func:`parity_exp.serve`, such as ``code`` and ``parity_models``; no ``load``.

    Returns:
        What the latest queries got, as from :func:`parity_exp.serve`.

    Raises:
        SettingError: a :class:`ValueError`: an argument that cannot be, in one line.
        UserError: an instance cannot start, or a file is missing.
    """
    settings = settings or Settings()
    settings.certificate()
    hub = Hub(settings, Metrics())
    server = Server(hub)
    services: list[Service] = []
    newest = {
        "models": models, "queries": queries, "policies": policies, "prepare": prepare, "folder": folder,
        "version": version, "earlier": earlier, **of_serve,
    }  # fmt: skip
    kept: list[tuple[Service, Path | None, Mapping[str, float]]] = []
    with ExitStack() as stack:
        for number, one in enumerate([*older, newest], start=1):
            given = {"version": None, "folder": None, "earlier": None, **one}
            name, where, metrics = (given.pop(key) for key in ("version", "folder", "earlier"))
            service = _service(stack, hub, server, name or str(number), given)
            services.append(service)
            stack.callback(partial(_closed, service))
            path = prepared(where, service.serving, {"pool": service.serving.pool}, metrics)
            kept.append((service, path, metrics or {}))
        for service in services:
            service.start()
        try:
            server.run(partial(_all_driven, services), lambda: listening(server))
        finally:
            hub.close()
            with ctrl_c_waits():
                for service in services:
                    service.stop()
                for service, path, _ in kept:
                    if path is not None:
                        write_text(RunDirectory(path).trace, trace_text(service.trace))
                        service.save(path)
        for service in services:
            if service.error is not None:
                raise service.error
        results = [_result(service) for service in services]
    done = [finished(result, path, metrics) for result, (_, path, metrics) in zip(results, kept, strict=True)]
    return done[-1]


def _service(stack: ExitStack, hub: Hub, server: Server, version: str, given: dict[str, Any]) -> Service:
    """One version of the model, not started yet."""
    prepare = given.pop("prepare", None)
    straggler_s = hub.settings.straggler_s
    serving, served, consistencies = stack.enter_context(assembled(**given, load=LiveLoad(straggler_s)))
    if len(serving.policies) != 1:
        raise SettingError(f"{{policies}}: {', '.join(serving.policies)}; an endpoint has one")
    if serving.frontends > 1:
        raise SettingError(f"{{frontends}}={serving.frontends}: an endpoint has one; take {{frontends}}=1")
    (name,) = serving.policies
    policy = serving.made[name]
    base = served[BASE]
    facts = Facts(
        name=hub.settings.model,
        version=version,
        query_shape=tuple(base.query_shape),
        output_shape=tuple(base.output_shape),
        labels=tuple(getattr(serving.questions.task, "class_names", ())),
        k=policy.k,
        r=policy.r,
        policy=name,
        never_exact=policy.replaces_queries,
        task=type(serving.questions.task).__name__.lower(),
        prepare=prepare,
    )

    def broken() -> None:
        server.end()
        server.end()  # at once: nobody is left who would answer

    return Service(serving, served, consistencies, facts, hub, broken)


@contextmanager
def _all_driven(services: Sequence[Service], loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    with ExitStack() as stack:
        for service in services:
            stack.enter_context(service.driven(loop))
        yield


def _closed(service: Service) -> None:
    with ctrl_c_waits():
        service.stop()


def _result(service: Service) -> ServingResult:
    metrics, recorded = service.results()
    serving = service.serving
    return ServingResult(
        title=f"the latest {len(recorded.queries):,} queries of clients, {len(service.held)} instances",
        metrics=metrics,
        recorded={service.name: recorded},
        sizes=serving.sizes,
        looks=looks_of(serving.made),
        trace=trace_table(service.trace),
        errors=service.troubles.table(service.name) if service.troubles else pd.DataFrame(),
    )
