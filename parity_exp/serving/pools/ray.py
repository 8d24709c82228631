"""Instances as actors on a Ray cluster.

Every instance is an actor that holds a bundle of a placement group, so that Ray spreads them over the machines. What
becomes of an instance is in :mod:`parity_exp.serving.pools.supervised`, what it does in
:mod:`parity_exp.serving.pools.ray_instance`.

Rules:

* A life is an actor; Ray restarts none by itself. The first call that fails for want of it is the end of the life.
* Ray calls back in threads of its own, which only put what came into one queue; the frontend's thread takes it out.
  Two of them may overtake each other: an instance works at one task after the other, and so are its answers given out.
* Checkpoints are read once, here, and put into Ray's object store once, from where each machine gets one copy.
* Machines have clocks of their own; what leaves this file is in the frontend's.
"""

import atexit
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Annotated, Any, Literal

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from parity_exp.checks import SettingError
from parity_exp.disturbances.helpers.helper import Helper
from parity_exp.disturbances.timeline import Timeline
from parity_exp.disturbances.trace import Disturbance
from parity_exp.errors import UserError
from parity_exp.process import ray_cluster
from parity_exp.ranges import Prefetch, ServiceTime, Text, Timeout
from parity_exp.recordings.error_text import one_line
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.passes.acceleration import AUTO, Acceleration
from parity_exp.serving.pool import Finished, Raised, ServedModel
from parity_exp.serving.pools.bell import Bell
from parity_exp.serving.pools.clock import Clock
from parity_exp.serving.pools.ray_instance import CONTROL, Loaded, Lost, RayInstance, Whereabouts, boot, payload
from parity_exp.serving.pools.restarts import Restarts
from parity_exp.serving.pools.supervised import (
    HeldModel,
    Life,
    Spot,
    SupervisedPool,
    check_pickles,
    held_models,
    identity,
)
from parity_exp.serving.worker import Assignment

try:
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

    INSTALLED = True
except ModuleNotFoundError:
    INSTALLED = False

STRATEGIES = ("SPREAD", "PACK", "STRICT_SPREAD", "STRICT_PACK")

HEARTBEAT_S = 0.5
"""How often an instance is asked for a sign of life."""

CLOSE_S = 8.0
"""How long actors may take to be gone; Ray gives one that does not listen five seconds."""

REASON = re.compile(r"The actor (?:is dead|died) because (?:its )?(.+?)(?:\.\s|\.?$)", re.MULTILINE)
"""Where in Ray's pages about a dead actor the reason is."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Life(Life):
    """An actor."""

    spot: Spot["_Life"]
    actor: Any
    tasks: dict[int, HeldModel] = field(default_factory=dict)
    early: dict[int, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    where: Whereabouts | None = None
    asked_s: float = float("-inf")
    asking: bool = False
    ends_with: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def exit(self) -> str | None:
        return self.ends_with


_Arrived = tuple[_Life, Callable[..., None], "Future[Any]", float]
"""What became of a call: whose, who takes it, the answer, and when it came."""


class RayPool(SupervisedPool[_Life]):
    """Instances as actors on a Ray cluster.

    Args:
        address: ``auto`` joins the cluster that runs here or that ``RAY_ADDRESS`` names, and starts one on this machine
            where there is none; ``local`` always starts one; ``host:port`` joins that one.
        num_cpus: CPUs that Ray reserves for an instance; may be a fraction, or 0.
        num_gpus: GPUs, likewise. With 0, instances run on the CPU.
        strategy: how Ray places instances: SPREAD, PACK, STRICT_SPREAD or STRICT_PACK.
        runtime_env: what Ray prepares on the nodes, such as ``{working_dir: .}``.
        prefetch: tasks that an instance may hold at a time, the one it works at included.
        service_time_ms: a task takes at least that long: the instance sleeps for the rest. 0 for none.
        start_timeout_s: until all instances have to have a place, and then each has to be ready.
        hang_timeout_s: an instance without a sign of life for so long is killed. It is asked every 0.5 s.
        task_timeout_s: an instance that works at one task for so long is killed; injected delays count.
        max_failures: deaths in a row, each before a task was finished, after which an instance is given up.
        cuda_graphs: on GPUs: capture passes at the start, and replay them. True, False, or ``auto``: where it can be.
        precision: that networks work in, float32, bfloat16 or float16; outputs are float32.
        compile: run networks through ``torch.compile``.
        tf32: on GPUs: float32 products may use 10 bits of the mantissa.
        cudnn_benchmark: on GPUs: try cuDNN's algorithms out at the start.
        channels_last: layout of images. True, False, or ``auto``: on GPUs, for convolutions on tensor cores.

    Raises:
        SettingError: a value is out of range.
        UserError: Ray is not installed.
    """

    FROM_USERS_ALONE = ("address", "runtime_env")
    """Settings that are not taken from the config of another's run: whoever sets them runs code of his own."""

    def __init__(
        self,
        address: Text = ray_cluster.AUTO,
        num_cpus: Annotated[float, Ge(0), Le(10**4)] = 1.0,
        num_gpus: Annotated[float, Ge(0), Le(10**4)] = 0.0,
        strategy: Literal["SPREAD", "PACK", "STRICT_SPREAD", "STRICT_PACK"] = "SPREAD",
        runtime_env: Mapping[str, Any] | None = None,
        prefetch: Prefetch = 1,
        service_time_ms: ServiceTime = 0.0,
        start_timeout_s: Timeout = 120.0,
        hang_timeout_s: Timeout = 5.0,
        task_timeout_s: Timeout = 30.0,
        max_failures: Prefetch = 5,
        cuda_graphs: bool | Literal["auto"] = AUTO,
        precision: Literal["float32", "bfloat16", "float16"] = "float32",
        compile: bool = False,  # noqa: A002
        tf32: bool = True,
        cudnn_benchmark: bool = False,
        channels_last: bool | Literal["auto"] = AUTO,
    ) -> None:
        acceleration = Acceleration(
            cuda_graphs=cuda_graphs,
            precision=precision,
            compile=compile,
            tf32=tf32,
            cudnn_benchmark=cudnn_benchmark,
            channels_last=channels_last,
        )
        super().__init__(
            prefetch,
            service_time_ms,
            start_timeout_s,
            hang_timeout_s,
            task_timeout_s,
            max_failures,
            HEARTBEAT_S,
            acceleration,
        )
        if num_gpus > 1 and num_gpus != int(num_gpus):
            raise SettingError(f"{{num_gpus}}={num_gpus}: expected a fraction of one GPU, or a whole number of GPUs")
        if acceleration.cuda_graphs is True and not num_gpus:
            raise SettingError(
                "{cuda_graphs}=true: with {num_gpus}=0 instances are on the CPU, and only GPUs capture graphs; "
                "take {cuda_graphs}=auto, or {num_gpus} above 0"
            )
        if address.startswith("ray://"):
            raise SettingError(
                f"{{address}}={address}: instances cannot be reached through Ray's client; run on a machine of the "
                "cluster (`ray job submit` does that), with {address}=auto"
            )
        if not INSTALLED:
            raise UserError("pool=ray: Ray is not installed; pip install 'parity_exp[ray]'")
        self.address = address
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus
        self.strategy = strategy
        self.runtime_env = runtime_env
        self._arrived: SimpleQueue[_Arrived] = SimpleQueue()
        self._bell: Bell | None = None
        self._contents: dict[str, Any] = {}
        self._actors: Any = None
        self._group: Any = None
        self._here = ""

    @property
    def pids(self) -> list[int | None]:
        """The process of each instance, on its own machine; None where there is none at the moment."""
        lives = [spot.life for spot in self._instances]
        return [life.where.pid if life is not None and life.where is not None else None for life in lives]

    @property
    def nodes(self) -> list[str | None]:
        """Ray's name of the node that each instance is on; None where there is none at the moment."""
        lives = [spot.life for spot in self._instances]
        return [life.where.node if life is not None and life.where is not None else None for life in lives]

    # -- start and end ------------------------------------------------------------------------------------------------

    def start(
        self,
        models: dict[str, ServedModel],
        held: Sequence[Sequence[str]],
        batch_size: int,
        timelines: Sequence[Timeline],
    ) -> None:
        self.close()  # Ray holds the room of a pool for so many instances as it was started with
        self._instances.clear()
        for name, served in models.items():
            check_pickles(name, served.load)
        ray_cluster.join(self.address, self.num_cpus * len(held), self.runtime_env, "pool.address")
        self._here = boot()
        remote: Any = ray.remote  # its annotations do not know all of its options
        self._actors = remote(concurrency_groups={CONTROL: 1})(RayInstance)
        self._batch_size = batch_size
        device = "cuda:0" if self.num_gpus else "cpu"
        self._check_gpus(len(held))
        try:
            needs = {"CPU": self.num_cpus, "GPU": self.num_gpus}
            bundle = {name: amount for name, amount in needs.items() if amount} or {"CPU": 0.001}
            self._group = placement_group([bundle] * len(held), strategy=self.strategy)
            if not self._group.wait(self.start_timeout_s):
                raise UserError(self._no_room(len(held), bundle))
            self._contents = {name: ray.put(_content(served)) for name, served in models.items() if served.checkpoint}
            for index, names in enumerate(held):
                assignment = Assignment(
                    index=index,
                    models=tuple(models[name] for name in names),
                    names=tuple(names),
                    identities=tuple(identity(models[name]) for name in names),
                    device=device,
                    core=None,
                    batch_size=batch_size,
                    service_time_s=self.service_time_ms / 1e3,
                    timeline=timelines[index],
                    acceleration=self.acceleration,
                    crowded=True,
                )
                spot: Spot[_Life] = Spot(
                    index=index,
                    device=device,
                    core=None,
                    held=held_models(models, names),
                    assignment=ray.put(cloudpickle.dumps(assignment)),
                    restarts=Restarts(self.max_failures),
                )
                self._instances.append(spot)
            self._start_all()
        except BaseException:
            self.close()
            raise

    def disturber(self, rows: Iterable[Disturbance], helpers: Mapping[str, Helper], seed: int) -> Disturber:
        from parity_exp.serving.pools.ray_disturber import RayDisturber

        lives = [spot.life for spot in self._instances]
        places = [life.where if life is not None else None for life in lives]
        return RayDisturber(list(rows), places, self.kill, helpers, seed)

    def close(self) -> None:
        self._open = [None] * len(self._instances)
        lives = [spot.life for spot in self._instances if spot.life is not None]
        for spot in self._instances:
            spot.life = None
        group, self._group = self._group, None
        if group is None:
            return
        if ray.is_initialized():
            for life in lives:
                self._let_go(life)
            with suppress(Exception):  # the cluster may be gone
                remove_placement_group(group)
            _await_ends([life.where.pid for life in lives if life.where and life.where.boot == self._here])
        self._contents.clear()
        atexit.unregister(self.close)

    # -- tasks --------------------------------------------------------------------------------------------------------

    def send(self, instance: int, task: int, model: str, queries: Tensor) -> bool:
        life = self._open[instance]
        if life is None or len(life.tasks) >= self.prefetch:
            return False
        held = life.spot.held[model]
        held.check(queries, self._batch_size)
        numbers = payload(queries.detach().to(torch.float32).contiguous().numpy())
        answer = life.actor.work.remote(held.number, len(queries), self._zero_s + life.clock.ahead_s, numbers)
        if not life.tasks:
            life.task_since_s = time.monotonic() - self._away_s
        life.tasks[task] = held
        self._await(life, answer, partial(self._worked, task))
        return True

    def _await(self, life: _Life, answer: Any, then: Callable[..., None]) -> None:
        """Have what becomes of a call put into the queue."""
        arrived, bell = self._arrived.put, self._bell

        def take(future: "Future[Any]") -> None:
            arrived((life, then, future, time.monotonic()))
            if bell is not None:
                bell.ring()

        answer.future().add_done_callback(take)

    def bell(self) -> int | None:
        if self._bell is None:
            self._bell = Bell()
            self._bell.ring()  # for what has come before
        return self._bell.descriptor

    def _listen(self, until_s: float) -> None:
        while True:
            now_s = time.monotonic()
            if self._bell is not None:
                self._bell.silence()
            with suppress(Empty):
                while True:
                    self._receive(*self._arrived.get_nowait())
            if now_s >= self._check_s:
                self._check(now_s)
                self._ask_all(now_s)
            if self._events or now_s >= until_s:
                return
            wait_s = max(0.0, min(until_s, self._check_s) - now_s)
            try:
                self._receive(*self._arrived.get(timeout=wait_s))
            except Empty:
                self._count_away(time.monotonic() - now_s - wait_s)

    def _receive(self, life: _Life, then: Callable[..., None], future: "Future[Any]", at_s: float) -> None:
        """Take what became of a call; what comes from a life that is over is nobody's."""
        if life.ended or life.spot.life is not life:
            return
        now_s = time.monotonic()
        try:
            result = future.result()
        except Exception as error:
            life.ends_with = _reason(error)
            self._end(life.spot, life, now_s)
            return
        life.heard_s = now_s - self._away_s
        then(life, result, at_s)

    def _worked(self, task: int, life: _Life, result: Any, at_s: float) -> None:
        life.early[task] = result
        while (first := next(iter(life.tasks), None)) in life.early and not life.ended:
            self._answered(first, life, life.early.pop(first))

    def _answered(self, task: int, life: _Life, result: Any) -> None:
        held = life.tasks.pop(task)
        life.task_since_s = life.heard_s
        index = life.spot.index
        if isinstance(result, Lost):
            life.tasks[task] = held  # which it has not done
            self._kill(life.spot, life, result.reason, time.monotonic())
            return
        if isinstance(result, str):
            self._events.append(Raised(index, task, result))
            return
        started_s, finished_s, numbers, corrupted = result
        # A copy: this memory is Ray's.
        outputs = torch.frombuffer(bytearray(numbers), dtype=torch.float32).view(-1, *held.output_shape)
        life.worked = True
        ahead_s = life.clock.ahead_s
        self._events.append(Finished(index, task, outputs, started_s - ahead_s, finished_s - ahead_s, corrupted))

    # -- lives --------------------------------------------------------------------------------------------------------

    def _begin_life(self, spot: Spot[_Life], now_s: float) -> None:
        place = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=spot.index)
        actor = self._actors.options(
            num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_restarts=0, scheduling_strategy=place
        ).remote()
        counted_s = now_s - self._away_s
        life = _Life(
            assignment=spot.assignment, spot=spot, actor=actor, began_s=counted_s, heard_s=counted_s, placed=False
        )
        spot.life = life
        self._await(life, actor.whereabouts.remote(), self._placed)
        contents = [self._contents.get(name) for name in spot.held]
        self._await(life, actor.load.remote(spot.assignment, *contents), self._loaded)

    def _placed(self, life: _Life, where: Whereabouts, at_s: float) -> None:
        life.where = where
        life.placed = True
        life.began_s = life.heard_s
        life.spot.device = where.device

    def _loaded(self, life: _Life, loaded: Loaded, at_s: float) -> None:
        if loaded.complaint is None:
            life.notes = loaded.notes
            self._ask(life)  # with the answer its clock is known, and it is ready
        else:
            life.reason = loaded.complaint
            self._end(life.spot, life, time.monotonic())

    def _ask_all(self, now_s: float) -> None:
        """Ask instances for a sign of life, and for the time that it is where they are."""
        for life in filter(None, self._open):
            if not life.asking and now_s - life.asked_s >= HEARTBEAT_S:
                self._ask(life)

    def _ask(self, life: _Life) -> None:
        life.asking, life.asked_s = True, time.monotonic()
        self._await(life, life.actor.beat.options(concurrency_group=CONTROL).remote(), self._beaten)

    def _beaten(self, life: _Life, theirs_s: float, at_s: float) -> None:
        life.asking = False
        assert life.where is not None
        if life.where.boot != self._here:
            life.clock.heard(life.asked_s, theirs_s, at_s)
        if not life.ready:
            self._is_ready(life.spot, life, life.notes)

    def _strike(self, life: _Life) -> bool:
        life.ends_with = "its actor was killed"
        if life.where is not None and not life.on_demand:
            # Ray asks a process to end before it kills it, and one that hangs keeps its GPU for so long.
            there = NodeAffinitySchedulingStrategy(life.where.node, soft=False)
            killing: Any = ray.remote(_killing(life.where.pid))
            killing.options(num_cpus=0, scheduling_strategy=there).remote()
        return False  # Ray may tell of its end, or not; all that it still says is dropped.

    def _let_go(self, life: _Life) -> None:
        with suppress(Exception):  # it may be gone
            ray.kill(life.actor, no_restart=True)

    def _check_gpus(self, instances: int) -> None:
        """Refuse at once what waiting would not help: more than this machine's GPUs have room for.

        Raises:
            UserError: with how many there is room for.
        """
        if not self.num_gpus or not ray_cluster.is_ours():
            return
        gpus = [node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]]
        room = ray_cluster.room_on_gpus(gpus, self.num_gpus)
        if instances > room:
            raise UserError(
                f"pool.num_gpus={self.num_gpus:g}: {instances} instances, and the {sum(gpus):g} GPUs of this machine "
                f"have room for {room}; take fewer instances, a smaller share of a GPU, or a cluster (pool.address)"
            )

    def places(self) -> list[tuple[str, int | None]]:
        nodes = self.nodes
        several = len(set(filter(None, nodes))) > 1
        devices = [spot.device for spot in self._instances]
        named = [f"{device} of node {node}" for device, node in zip(devices, nodes, strict=True)]
        return [(device, None) for device in (named if several else devices)]

    def _no_room(self, instances: int, bundle: Mapping[str, float]) -> str:
        there = ray.cluster_resources()
        has = ", ".join(f"{there.get(name, 0):g} {name}" for name in bundle)
        wants = ", ".join(f"{amount:g} {name}" for name, amount in bundle.items())
        nodes = sum(node["Alive"] for node in ray.nodes())
        return (
            f"pool=ray: no room for {instances} instances of {wants} each after pool.start_timeout_s="
            f"{self.start_timeout_s:g} with pool.strategy={self.strategy}; the cluster's nodes, {nodes}, have {has}"
        )


def _content(served: ServedModel) -> np.ndarray:
    """What is in a checkpoint, in a form that Ray shares between processes without a copy.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return np.fromfile(str(served.checkpoint), np.uint8)
    except OSError as error:
        raise UserError(f"checkpoint={served.checkpoint}: {error.strerror}") from None


def _killing(pid: int) -> Callable[[], None]:
    """Kills an actor's process, on its machine, by SIGKILL.

    Within another function it is sent as a whole: a process that had to import it would be seconds late.
    """

    def kill() -> None:
        # Ray names its processes so; another process may have got the number in the meantime.
        with suppress(OSError):
            if b"ray::" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    return kill


def _reason(error: Exception) -> str:
    """Why a call failed, in one line."""
    text = str(error)
    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return "the connection to its actor broke"
    found = REASON.search(text)
    if found:
        return one_line(f"its actor ended: {found.group(1)}")
    return one_line(text.strip().splitlines()[-1] if text.strip() else type(error).__name__)


def _await_ends(pids: Iterable[int]) -> None:
    """Wait until processes of this machine are gone, for some seconds at most."""
    deadline_s = time.monotonic() + CLOSE_S
    for pid in pids:
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline_s:
            time.sleep(0.02)
