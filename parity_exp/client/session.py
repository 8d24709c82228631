"""Play a load against a server from a program: a URL and a load go in, metrics and tables come out."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from parity_exp.checks import SettingError, check_setting
from parity_exp.client.address import Address
from parity_exp.client.asking import UNREACHABLE, Ask, Client, LostError, ModelFacts
from parity_exp.client.options import Options
from parity_exp.client.player import Player, Workload
from parity_exp.client.questions import Questions, prediction_of
from parity_exp.client.remote import Remote
from parity_exp.errors import UserError
from parity_exp.load import Load, query_indices, write_arrivals
from parity_exp.policies.queues import SingleQueue
from parity_exp.process.interrupts import ctrl_c_waits
from parity_exp.process.progress import progress
from parity_exp.recordings.measures import serving_metrics
from parity_exp.recordings.metric_keys import PREFIX
from parity_exp.recordings.recorder import CLASSES, Recorder
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.recordings.troubles import Troubles
from parity_exp.scenario.folder import finished, looks_of, prepared
from parity_exp.scenario.result import Recorded, ServingResult
from parity_exp.scenario.scenario import Draw, Scenario
from parity_exp.tasks import Classification, Task
from parity_exp.words import QUERY, counted

log = logging.getLogger(__name__)

SAMPLES = 2
"""Stream of random numbers of the order of queries: that of ``serve``."""

RANDOM_VALUES = 3
"""Stream of random numbers of queries that are drawn."""

LOOK_S = 0.2


def drive(
    url: str,
    queries: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    load: Load,
    name: str = "server",
    model: str | None = None,
    model_version: str | int | None = None,
    task: Task | None = None,
    default: Tensor | None = None,
    options: Options | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    show_progress: bool = True,
    dry_run: bool = False,
    earlier: Mapping[str, float] | None = None,
) -> ServingResult:
    """Play a load against a server of the Open Inference Protocol v2, and record what it answers.

    Arrivals and the order of queries are those that :func:`parity_exp.serve` draws of the same load and seed::

        from parity_exp import drive
        from parity_exp.load import Poisson

        result = drive("http://127.0.0.1:8000", queries, labels, load=Poisson(5_000, rate_qps=200), name="triton")
        print(result.table)

    Queries that the server refuses, fails or does not answer are lost: they count by their kind, and are in no
    percentile. By the load's ``slo_ms`` a query without an answer has the default prediction, as with ``serve``.

    Args:
        url: ``http://HOST:PORT``, ``https://``, ``grpc://`` or ``grpcs://``.
        queries: ``(N, *query_shape)``, float32, as the model takes them; None: random ones, by the model's metadata.
        labels: ``(N,)``, the true classes, or what the task's labels are; None: nothing is said of accuracy.
        load: when queries are sent. Its rate is to be queries a second, for nobody knows what a server can do.
        name: what tables and figures call the server.
        model: name of the model; None: the only one that the server has.
        model_version: None: the server's choice.
        task: what predictions mean; None: they are logits of classes where there are labels.
        default: ``(outputs,)``, the prediction for a query without an answer by the load's ``slo_ms``; None: the most
            frequent label's.
        options: how to ask.
        seed: what arrivals and the order of queries follow from.
        folder: where to write the files of a run directory; None: nothing is written.
        show_progress: show a bar.
        dry_run: ask a first query, refuse what cannot be, and go no further; the result is empty.
        earlier: metrics of what was done in the folder before.

    Returns:
        The result; its metrics' keys begin with ``serve/<name>/``.

    Raises:
        SettingError: a :class:`ValueError`: an argument that cannot be, in one line.
        UserError: the server is not there, or does not answer what is asked.
    """
    options = options or Options()
    check_setting("url", url, str)
    address = Address.of(url)
    options.check(address.grpc)
    if queries is not None:
        check_setting("queries", queries, Tensor)
        queries = queries.detach().to("cpu", torch.float32).contiguous()
    labels = _checked_labels(queries, labels, task)
    scenario = Scenario({name: Remote(1, 1)}, load, {}, 1, 1, 0.0, SingleQueue, seed)
    draw = _draw(scenario)
    session = _Session(scenario, draw, url, address, model, model_version, queries, labels, task, default, options)
    with ctrl_c_waits():
        session.start()
    try:
        session.wait_until_ready()
        if dry_run:
            return ServingResult("", {})
        path = prepared(folder, scenario, {"url": url}, earlier)
        if path is not None:
            write_arrivals(RunDirectory(path).arrivals, draw.arrivals_s)
        try:
            with progress(name, load.total, show_progress) as move:
                session.play(move)
        finally:
            with ctrl_c_waits():
                session.stop()
                session.save(name, path)
    finally:
        with ctrl_c_waits():
            session.stop()
    return finished(session.result(name), path, earlier or {})


def _draw(scenario: Scenario) -> Draw:
    """Arrivals, of a load that says itself when queries come.

    Raises:
        SettingError: it says it in shares of what a server can do.
    """
    load = scenario.load
    if load.open_loop and load.rate(1.0, 1) != load.rate(1.0, 2):
        raise SettingError(
            "{load}: it has a share of what instances can serve, which nobody knows of a server; give a rate in "
            "queries a second, such as {load.rate_qps}=200"
        )
    if load.service_times() is not None:
        raise SettingError("{load}: it says how long queries take, which is the server's; give durations=false")
    return scenario.draw(1.0, scenario.seed)


def _checked_labels(queries: Tensor | None, labels: Tensor | None, task: Task | None) -> Tensor | None:
    if labels is None:
        return None
    check_setting("labels", labels, Tensor)
    if queries is None or len(labels) != len(queries):
        count = 0 if queries is None else len(queries)
        raise SettingError(f"{{labels}}: {len(labels)} of them for {count} queries; expected one for each")
    problem = None if task is None else task.label_problem(labels)
    if problem is not None:
        raise SettingError(f"{{labels}}: {problem}")
    return labels.detach().cpu()


class _Session:
    """A client in a loop and thread of its own, so that it works in notebooks, and Ctrl-C comes at once."""

    def __init__(
        self,
        scenario: Scenario,
        draw: Draw,
        url: str,
        address: Address,
        model: str | None,
        version: str | int | None,
        queries: Tensor | None,
        labels: Tensor | None,
        task: Task | None,
        default: Tensor | None,
        options: Options,
    ) -> None:
        self.scenario, self.draw, self.url, self.address = scenario, draw, url, address
        self.model, self.version = model, "" if version is None else str(version)
        self.queries, self.labels, self.task, self.options = queries, labels, task, options
        self.default = default
        self.recorder: Recorder | None = None
        self.troubles = Troubles()
        self.player: Player | None = None
        self.error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready, self._go = threading.Event(), threading.Event()
        self._gone: asyncio.Event | None = None
        self._stopping = False
        self._move: Callable[[int], None] = lambda _: None
        self._thread = threading.Thread(target=self._run, name=f"load of {url}", daemon=True)

    def start(self) -> None:
        """Begin to ask what the server has."""
        self._thread.start()

    def wait_until_ready(self) -> None:
        """Wait until it is known that the load can begin.

        Raises:
            UserError: it cannot.
        """
        while not self._ready.wait(LOOK_S):
            pass
        self._raise()

    def play(self, move: Callable[[int], None]) -> None:
        """Play the load to its end."""
        self._move = move
        self._go.set()
        assert self._loop is not None and self._gone is not None
        self._loop.call_soon_threadsafe(self._gone.set)
        while self._thread.is_alive():
            self._thread.join(LOOK_S)
        self._raise()

    def stop(self) -> None:
        """End, whatever it is at."""
        self._stopping = True
        loop = self._loop
        if self._thread.is_alive() and loop is not None:
            loop.call_soon_threadsafe(self._stop)
        self._thread.join(max(LOOK_S, 5.0))

    def _stop(self) -> None:
        if self.player is not None:
            self.player.stop()
        if self._gone is not None:
            self._gone.set()
        if self.player is None:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()

    def _raise(self) -> None:
        if isinstance(self.error, LostError):
            hint = "; is the server there, and is it its port?" if self.error.kind == UNREACHABLE else ""
            raise UserError(f"url={self.url}: {self.error.text}{hint}") from None
        if self.error is not None:
            raise self.error

    def save(self, name: str, folder: Path | None) -> None:
        """Write what is recorded, as far as it is."""
        recorder = self.recorder
        if folder is not None and recorder is not None and (recorder.lost or not recorder.queries().empty):
            recorder.save(folder, name)
            self.troubles.save(folder, name)
        for sentence in self.troubles.sentences():
            log.warning("%s: %s", name, sentence)

    def result(self, name: str) -> ServingResult:
        """What is recorded.

        Raises:
            UserError: nothing was answered.
        """
        assert self.recorder is not None and self.player is not None
        recorder, load = self.recorder, self.scenario.load
        table = recorder.queries()
        if table.empty:
            why = "; ".join(self.troubles.sentences()) or "it ended before the first answer"
            raise UserError(f"url={self.url}: no query that is measured has an answer: {why}")
        lost = {f"lost/{kind.replace(' ', '_')}": float(count) for kind, count in self.player.lost.items()}
        metrics = serving_metrics(table, recorder.lost, recorder.duplicates) | lost
        by_key = {f"{PREFIX}/rate_qps": self.draw.rate_qps} if load.open_loop else {}
        by_key |= {f"{PREFIX}/{name}/{key}": value for key, value in metrics.items()}
        how = f"at {self.draw.rate_qps:.0f} q/s" if load.open_loop else "in a closed loop"
        return ServingResult(
            title=f"{counted(load.queries, *QUERY)} {how} to {self.url}",
            metrics=by_key,
            recorded={name: Recorded(table, recorder.tasks())},
            looks=looks_of(self.scenario.made),
            slo_ms=load.slo_ms,
            arrivals_s=pd.Series(self.draw.arrivals_s, name="scheduled_s"),
            errors=self.troubles.table(name) if self.troubles else pd.DataFrame(),
        )

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._main())
        except BaseException as error:
            self.error = error
        self._ready.set()

    async def _main(self) -> None:
        self._loop, self._gone = asyncio.get_running_loop(), asyncio.Event()
        client = _client(self.address, self.options)
        try:
            facts = await self._found(client)
            workload = await self._workload(client, facts)
            self.recorder = Recorder(
                self.scenario.load.queries,
                self.scenario.load.warmup,
                workload.task or CLASSES,
                workload.default,
                workload.labels is not None,
            )
            self.player = Player(client, workload, self.recorder, self.troubles, lambda over: self._move(over))
            self._ready.set()
            await self._gone.wait()
            if not self._stopping:
                await self.player.play()
        finally:
            await client.close()

    async def _found(self, client: Client) -> ModelFacts:
        """The model.

        Raises:
            LostError: the server is not there, or has no such model.
        """
        there = await client.models()
        name = self.model
        if name is None:
            if there is None or len(there) != 1:
                has = "it does not say which it has" if there is None else f"it has {', '.join(there) or 'none'}"
                raise UserError(f"model: name the model of {self.url}; {has}")
            (name,) = there
        try:
            return await client.model(name, self.version)
        except LostError as lost:
            if lost.status in (404, "NOT_FOUND") or (there is not None and name not in there):
                has = f"; it has {', '.join(there)}" if there else ""
                version = f" version {self.version}" if self.version else ""
                raise UserError(f"model={name}: {self.url} has no such model{version} ({lost.text}){has}") from None
            raise

    async def _workload(self, client: Client, facts: ModelFacts) -> Workload:
        """What is played, once the server has answered a first request of the kind.

        Raises:
            SettingError: the model does not take such queries.
            UserError: it does not answer them.
        """
        scenario, options, load = self.scenario, self.options, self.scenario.load
        seed = scenario.seed
        random = np.random.default_rng([seed, RANDOM_VALUES])
        questions = Questions(facts, options, self.queries, random)
        first = questions.tensors([place % questions.count for place in range(options.batch)])
        reply = await _first(client, client.encoded(first, options.parameters), self.url, options.timeout_s)
        predictions = prediction_of(reply, options.batch, options.output)
        task = self.task
        if task is None and self.labels is not None:
            if predictions is None or predictions.ndim != 2:
                shape = "no numbers" if predictions is None else f"shape {list(predictions.shape)}"
                raise UserError(f"url={self.url}: an output of {shape}; expected (n, classes), or give a task")
            task = Classification([str(number) for number in range(predictions.shape[1])])
            problem = task.label_problem(self.labels)
            if problem is not None:
                raise UserError(f"labels: {problem}")
        if task is not None and (predictions is None or list(predictions.shape[1:]) != [task.outputs]):
            shape = "no numbers" if predictions is None else f"shape {list(predictions.shape[1:])}"
            raise UserError(
                f"url={self.url}: a prediction has {shape}, and the data want {task.outputs} numbers; is it a model "
                "for these data? Name its output by client.output, or send random numbers"
            )
        default = self.default
        if default is None and task is not None and self.labels is not None:
            default = task.default(self.labels)
        order = np.random.default_rng([seed, SAMPLES])
        return Workload(
            questions=questions,
            sample_of=query_indices(questions.count, load.total, order),
            arrivals_s=self.draw.arrivals_s,
            think_s=load.think_s,
            slo_s=inf if load.slo_ms is None else load.slo_ms / 1e3,
            labels=self.labels,
            task=task,
            default=None if default is None or task is None else task.answer(default).tolist(),
            output=options.output,
            batch=options.batch,
            parameters=options.parameters,
        )


async def _first(client: Client, payload: Any, url: str, timeout_s: float) -> Any:
    """The answer to a first request, which is not measured.

    Raises:
        UserError: there is none.
    """
    over: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    client.settled = lambda _, __, read: None if over.done() else over.set_result(read)
    client.send(Ask(payload))
    try:
        async with asyncio.timeout(timeout_s):
            read = await over
        if isinstance(read, LostError):
            raise read
        return read()
    except TimeoutError:
        raise UserError(f"url={url}: a first query has no answer in {timeout_s:g} s") from None
    except LostError as lost:
        raise UserError(f"url={url}: a first query was {_words(lost)}") from None


def _words(lost: LostError) -> str:
    return f"{lost.kind}: {lost.text}"


def _client(address: Address, options: Options) -> Client:
    # Each needs libraries that the other does not.
    if address.grpc:
        from parity_exp.client.grpc_client import GrpcClient

        return GrpcClient(address, options)
    from parity_exp.client.rest_client import RestClient

    return RestClient(address, options)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.new_event_loop
