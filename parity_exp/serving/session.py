"""Serve models from a program: modules, policies, a load and stragglers go in, metrics and tables come out."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from parity_exp.checks import SettingError, check_setting
from parity_exp.coding import Code, NonSystematicCode
from parity_exp.coding.consistency import Consistency
from parity_exp.data import coding_groups
from parity_exp.devices.placement import on_device
from parity_exp.load import Load
from parity_exp.models import predict
from parity_exp.policies.policy import BACKUP, BASE, MULTIPLEXED, parity_model
from parity_exp.policies.queues import SingleQueue
from parity_exp.process import interrupts
from parity_exp.process.interrupts import ctrl_c_waits
from parity_exp.ranges import Count, Frontends
from parity_exp.recordings.metric_keys import PREFIX
from parity_exp.scenario.folder import finished, looks_of, prepared, trace_table, write_draw
from parity_exp.scenario.given import GivenPolicies, GivenStragglers, policies_by_name, stragglers_by_name
from parity_exp.scenario.result import Recorded, ServingResult
from parity_exp.scenario.scenario import FrontendSplit, MakeQueues
from parity_exp.serving.modules import GivenModel, served_models
from parity_exp.serving.pool import Pool, ServedModel
from parity_exp.serving.pools.local import LocalPool
from parity_exp.serving.serving import Questions, Serving
from parity_exp.tasks import Classification, Task
from parity_exp.words import QUERY, counted

GivenCode = Code | NonSystematicCode | Mapping[str, Code | NonSystematicCode] | None

NORMAL_GROUPS = 4_000
"""So many groups at most tell what is normal."""


def serve(
    models: GivenModel | Mapping[str, GivenModel],
    queries: Tensor,
    labels: Tensor | None = None,
    *,
    policies: GivenPolicies,
    load: Load,
    straggler: GivenStragglers = None,
    instances: int = 4,
    k: int = 2,
    r: int = 1,
    code: GivenCode = None,
    parity_models: GivenModel | Sequence[GivenModel] = (),
    task: Task | None = None,
    default: Tensor | None = None,
    normal_outputs: tuple[Tensor, Tensor] | None = None,
    pool: Pool | None = None,
    batch_size: int = 1,
    batch_window_ms: float = 2.0,
    queue: MakeQueues = SingleQueue,
    frontends: Frontends = 1,
    frontend_split: FrontendSplit = "random",
    together: Count = 1,
    seed: int = 0,
    folder: str | Path | None = None,
    show_progress: bool = True,
    earlier: Mapping[str, float] | None = None,
) -> ServingResult:
    """Serve a load on real instances under one redundancy policy after the other.

    Every policy meets the same arrivals, and with as many instances the same stragglers::

        from parity_exp import serve
        from parity_exp.disturbances import Slowdown, Exponential
        from parity_exp.load import Poisson
        from parity_exp.policies import EqualResources, Hedged, NoRedundancy

        result = serve(
            my_module, queries, labels,
            policies=[NoRedundancy, EqualResources, Hedged],
            load=Poisson(2_000, utilisation=0.5),
            straggler=Slowdown(0.1, Exponential(6.0)),
        )
        print(result.table)

    What :func:`parity_exp.train` and :func:`parity_exp.evaluate` return is served by its parts: ``trained.base``, with
    ``code=trained.code`` and ``parity_models=trained.parity_models``.

    Instances are processes of this machine unless ``pool`` says otherwise. Modules may be of classes that a script or a
    notebook defines; a script needs no ``if __name__ == "__main__":``.

    Args:
        models: the base model, whose copies serve: a module that gives ``(n, outputs)`` for ``(n, *query_shape)``; or
            models by name, ``base``, ``parity-0`` and so on, and ``backup`` for the small one of an approximate backup.
            ``multiplexed_backup`` gives ``(n, k * outputs)`` for k queries side by side, with the code of its policy
            by :func:`parity_exp.models.multiplexing`.
        queries: ``(N, *query_shape)``, float32, as the base model sees them; clients ask them in random order, each as
            often as the others.
        labels: ``(N,)``, the true classes, or what the task's labels are; None: nothing is said of accuracy.
        policies: one, several, or several by name; objects at the beginning of a run, or classes that are made with
            ``k`` and ``r``.
        load: how many queries come, and when.
        straggler: what slows or stops instances: one model, several, or several by name; None: nothing does.
        instances: m, base instances; a policy says what comes on top.
        k: queries in a coding group, for policies that are given as classes.
        r: parity queries of a group, likewise.
        code: encodes and decodes, for policies that use groups; a mapping gives some policies codes of their own.
        parity_models: the r models of a code's parity queries, ``(n, *parity_shape)`` to ``(n, outputs)``.
        task: what predictions mean; None: they are logits of classes.
        default: ``(outputs,)``, the prediction for a query without an answer by the load's ``slo_ms``; None: the most
            frequent label's.
        normal_outputs: for policies that compare the outputs of groups: own predictions ``(G, k, outputs)`` and parity
            outputs ``(G, r, outputs)`` of groups in which nothing is wrong; None: of groups of ``queries``.
        pool: where instances run, such as ``LocalPool(service_time_ms=20)``, in which tasks of small models take as
            long as those of large ones; it is closed in the end. None: processes of this machine.
        batch_size: queries in a batch at most.
        batch_window_ms: a batch that is not full is sent this long after its first query.
        queue: makes the queues of instances, such as :class:`~parity_exp.policies.queues.SingleQueue`, or
            ``functools.partial(PowerOfD, d=3)``.
        frontends: how many there are, each with a policy and queues of its own; they meet in the instances. Several
            are processes, which are forked from this one, and this one has the instances.
        frontend_split: how queries come to them: ``random``, or ``round_robin``, in turn.
        together: so many of ``queries``, which follow each other there, are asked one after another, as those of one
            request; with k of them a coding group holds a request.
        seed: what arrivals, stragglers and the order of queries follow from.
        folder: where to write the files of a run directory; None: nothing is written.
        show_progress: show a bar for each policy.
        earlier: metrics of what was done in the folder before, which its ``metrics.json`` keeps.

    Returns:
        The result; its metrics' keys begin with ``serve/``.

    Raises:
        SettingError: a :class:`ValueError`: an argument that cannot be, in one line.
        UserError: an instance cannot start, or a file is missing or wrong.
    """
    with assembled(
        models,
        queries,
        labels,
        policies=policies,
        load=load,
        straggler=straggler,
        instances=instances,
        k=k,
        r=r,
        code=code,
        parity_models=parity_models,
        task=task,
        default=default,
        normal_outputs=normal_outputs,
        pool=pool,
        batch_size=batch_size,
        batch_window_ms=batch_window_ms,
        queue=queue,
        frontends=frontends,
        frontend_split=frontend_split,
        together=together,
        seed=seed,
    ) as (serving, served, consistencies):
        path = prepared(folder, serving, {"pool": serving.pool}, earlier)
        with _open(serving.pool):
            result = _serve_all(serving, served, consistencies, path, show_progress)
    return finished(result, path, earlier or {})


@contextmanager
def assembled(
    models: GivenModel | Mapping[str, GivenModel],
    queries: Tensor,
    labels: Tensor | None = None,
    *,
    policies: GivenPolicies,
    load: Load,
    straggler: GivenStragglers = None,
    instances: int = 4,
    k: int = 2,
    r: int = 1,
    code: GivenCode = None,
    parity_models: GivenModel | Sequence[GivenModel] = (),
    task: Task | None = None,
    default: Tensor | None = None,
    normal_outputs: tuple[Tensor, Tensor] | None = None,
    pool: Pool | None = None,
    batch_size: int = 1,
    batch_window_ms: float = 2.0,
    queue: MakeQueues = SingleQueue,
    frontends: Frontends = 1,
    frontend_split: FrontendSplit = "random",
    together: Count = 1,
    seed: int = 0,
) -> Iterator[tuple[Serving, Mapping[str, ServedModel], Mapping[str, Consistency]]]:
    """Bring together what :func:`serve` takes; models that are modules have their files inside the block only.

    Returns:
        The scenario, the models that instances can hold, and for policies that compare outputs what tells sound ones.

    Raises:
        SettingError: an argument that cannot be, in one line.
    """
    by_name = policies_by_name(policies, k, r)
    given = _models(models, parity_models)
    check_setting("queries", queries, Tensor)
    queries = queries.detach().to("cpu", torch.float32).contiguous()
    if queries.dim() < 2 or not len(queries):
        raise SettingError(f"{{queries}}: a tensor of shape {tuple(queries.shape)}; expected (N, *query_shape)")
    code_of = _Codes(code)
    with tempfile.TemporaryDirectory(prefix="parity_exp-") as place, _one_thread():
        shapes = {name: _query_shape(name, queries, code_of) for name in given}
        served = served_models(given, shapes, Path(place))
        if not 1 <= together <= len(queries):
            raise SettingError(f"{{together}}={together}: expected 1 to {len(queries)}, the queries that there are")
        questions = replace(_questions(queries, labels, served[BASE].output_shape, task, default), together=together)
        serving = Serving(
            by_name,
            load,
            stragglers_by_name(straggler),
            instances,
            batch_size,
            batch_window_ms,
            queue,
            seed,
            pool=LocalPool() if pool is None else pool,
            code_of=code_of,
            questions=questions,
            frontends=frontends,
            frontend_split=frontend_split,
        )
        _check_models(serving, served, code_of)
        consistencies = _consistencies(serving, given, normal_outputs)
        serving.warn()
        yield serving, served, consistencies


def _serve_all(
    serving: Serving,
    served: Mapping[str, ServedModel],
    consistencies: Mapping[str, Consistency],
    folder: Path | None,
    show_progress: bool,
) -> ServingResult:
    """Serve under every policy."""
    scene = serving.scene(served[BASE])
    if folder is not None:
        write_draw(folder, scene)
    metrics = {
        f"{PREFIX}/service_time_ms": scene.service_s * 1e3,
        f"{PREFIX}/capacity_qps": scene.capacity_qps,
        f"{PREFIX}/rate_qps": scene.rate_qps,
        f"{PREFIX}/utilisation": scene.rate_qps / scene.capacity_qps,
    }
    recorded: dict[str, Recorded] = {}
    errors: list[pd.DataFrame] = []
    for name in serving.policies:
        interrupts.check()
        of_policy, recorded[name], troubles = serving.serve(
            name, scene, served, consistencies.get(name), folder, show_progress
        )
        metrics |= of_policy
        if troubles:
            errors.append(troubles.table(name))
    base = counted(serving.instances, "base instance") + (" that serves" if serving.instances == 1 else " that serve")
    title = (
        f"{counted(serving.load.queries, *QUERY)} at {scene.rate_qps:.0f} q/s, "
        f"{scene.service_s * 1e3:.3g} ms each, {base} {scene.capacity_qps:,.0f} q/s together"
    )
    return ServingResult(
        title=title,
        metrics=metrics,
        recorded=recorded,
        sizes=serving.sizes,
        looks=looks_of(serving.made),
        slo_ms=serving.load.slo_ms,
        trace=trace_table(scene.trace),
        arrivals_s=pd.Series(scene.arrivals_s, name="scheduled_s"),
        errors=pd.concat(errors, ignore_index=True) if errors else pd.DataFrame(),
    )


def _models(
    models: GivenModel | Mapping[str, GivenModel], parity_models: GivenModel | Sequence[GivenModel]
) -> dict[str, GivenModel]:
    """All models by name.

    Raises:
        SettingError: what is no model, or there is no base model.
    """
    given = dict(models) if isinstance(models, Mapping) else {BASE: models}
    several = [parity_models] if isinstance(parity_models, GivenModel) else list(parity_models)
    given |= {parity_model(row): module for row, module in enumerate(several)}
    for name, model in given.items():
        check_setting(f"models.{name}", model, GivenModel)
    if BASE not in given:
        raise SettingError(
            f"{{models}}: {', '.join(given) or 'nothing'}; expected a module, or one by the name of base"
        )
    return given


class _Codes:
    """The code of each policy that uses groups."""

    def __init__(self, given: GivenCode) -> None:
        self.own = dict(given) if isinstance(given, Mapping) else {}
        self.shared = None if isinstance(given, Mapping) else given
        for one in (*self.own.values(), self.shared):
            check_setting("code", one, Code | NonSystematicCode | None)

    def __call__(self, policy: str) -> Code | NonSystematicCode | None:
        return self.own.get(policy, self.shared)

    @property
    def parity_shape(self) -> tuple[int, ...] | None:
        """The shape of a parity query of the code that has parity models; None: there is no such code."""
        codes = [one for one in (self.shared, *self.own.values()) if isinstance(one, Code)]
        return tuple(codes[0].encoder.parity_shape) if codes else None


def _query_shape(model: str, queries: Tensor, codes: _Codes) -> tuple[int, ...]:
    own = tuple(queries.shape[1:])
    return own if model in (BASE, BACKUP) else codes.parity_shape or own


def _questions(
    queries: Tensor, labels: Tensor | None, output_shape: tuple[int, ...], task: Task | None, default: Tensor | None
) -> Questions:
    """What clients ask, with a task and a default prediction.

    Raises:
        SettingError: labels that do not belong to the queries or the task.
    """
    if task is None:
        if len(output_shape) != 1:
            raise SettingError(
                f"{{models}}: a prediction has the shape {output_shape}; expected a vector of logits, or give {{task}}"
            )
        task = Classification([str(number) for number in range(output_shape[0])])
    if labels is not None:
        check_setting("labels", labels, Tensor)
        labels = labels.detach().cpu()
        if len(labels) != len(queries):
            raise SettingError(f"{{labels}}: {len(labels)} of them for {len(queries)} queries; expected one for each")
        problem = task.label_problem(labels)
        if problem is not None:
            raise SettingError(f"{{labels}}: {problem}")
    if default is None:
        default = torch.zeros(output_shape) if labels is None else task.default(labels)
    if tuple(default.shape) != output_shape:
        raise SettingError(f"{{default}}: a tensor of shape {tuple(default.shape)}; expected {output_shape}")
    unknown = torch.tensor(task.no_answer).expand(len(queries), *torch.tensor(task.no_answer).shape)
    return Questions(queries, unknown if labels is None else labels, labels is not None, task, default.detach().cpu())


def _check_models(serving: Serving, served: Mapping[str, ServedModel], code_of: _Codes) -> None:
    """Refuse policies that want models or codes which were not given, or other ones.

    Raises:
        SettingError: with the policy, and what to give.
    """
    for name in serving.policies:
        policy = serving.policy(name)
        wanted = {model for role in policy.roles(serving.instances) for model in role.models}
        if missing := sorted(wanted - set(served)):
            small = missing[0] in (BACKUP, MULTIPLEXED)
            others = f"it in models, as {{'base': ..., '{missing[0]}': ...}}" if small else "code and parity_models"
            raise SettingError(
                f"{{policies.{name}}}: it runs the model {missing[0]}, which was not given; give {others}"
            )
        if not policy.uses_groups:
            continue
        code = code_of(name)
        if code is None:
            raise SettingError(f"{{policies.{name}}}: it encodes queries, and no {{code}} was given")
        if code.systematic == policy.replaces_queries:
            fitting = "a code over copies of the base model" if policy.replaces_queries else "a code with parity models"
            raise SettingError(f"{{policies.{name}}}: its {{code}} is {type(code).__name__}; expected {fitting}")
        if code.k != policy.k:
            raise SettingError(f"{{policies.{name}}}: it has k={policy.k}, its {{code}} k={code.k}; give both the same")


def _consistencies(
    serving: Serving, given: Mapping[str, GivenModel], normal: tuple[Tensor, Tensor] | None
) -> dict[str, Consistency]:
    """For each policy that compares the outputs of groups, what tells sound ones from wrong ones."""
    rates = {name: policy.false_alarm_rate for name, policy in serving.made.items()}
    found: dict[str, Consistency] = {}
    for name, rate in rates.items():
        code = serving.code_of(name)
        if rate is None or not isinstance(code, Code):
            continue
        own = normal or _normal_outputs(code, given, serving.questions.queries, serving.seed)
        decoder = on_device(code.decoder, "cpu")
        found[name] = Consistency(decoder, serving.questions.task.differences, *own, rate)
    return found


@torch.no_grad()
def _normal_outputs(code: Code, given: Mapping[str, GivenModel], queries: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Own predictions ``(G, k, *out)`` and parity outputs ``(G, r, *out)`` of groups of the queries.

    Raises:
        SettingError: models that are no modules, which cannot be run here.
    """
    parities = [given.get(parity_model(row)) for row in range(code.r)]
    base = given[BASE]
    if not isinstance(base, nn.Module) or not all(isinstance(one, nn.Module) for one in parities):
        raise SettingError("{normal_outputs}: they cannot be computed of models that are no modules; give them")
    cpu = torch.device("cpu")
    groups = coding_groups(len(queries), code.k, seed)[:NORMAL_GROUPS]
    encoded = on_device(code, cpu).encode(queries[groups])
    outputs = [predict(one, encoded[:, row], cpu) for row, one in enumerate(parities) if isinstance(one, nn.Module)]
    return predict(base, queries, cpu)[groups], torch.stack(outputs, dim=1)


@contextmanager
def _open(pool: Pool) -> Iterator[None]:
    """A pool that goes from policy to policy, and is closed at the end of all."""
    try:
        yield
    finally:
        with ctrl_c_waits():
            pool.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """The frontend's few small operations gain nothing from more threads, and the instances need the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
