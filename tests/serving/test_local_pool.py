"""Instances as real processes: right answers, and what happens when they fail, hang, die, or lose their frontend."""

import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from parity_exp.checks import SettingError
from parity_exp.disturbances.timeline import Fault, Timeline
from parity_exp.errors import UserError
from parity_exp.serving import transport
from parity_exp.serving.pool import Down, Event, Finished, Raised, ServedModel, Up
from parity_exp.serving.pools import LocalPool, supervised
from tests.child_signals import heard_by_default
from tests.serving.pool_driver import PATIENCE_S, answer, gather, gone, has, send_soon, wait_until
from tests.serving.small_models import (
    CORNER,
    LARGE,
    LOSES_ITS_DEVICE,
    OBEDIENT,
    SHAPE,
    exits,
    missing_checkpoint,
    mlp,
    never_ready,
    no_device,
    only_first_time,
    out_of_memory,
    scale,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="instances as processes need Linux")

GPUS = torch.cuda.device_count()

Start = Callable[..., LocalPool]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a pool of one model, or of several; closes it after the test."""
    # A busy machine may take its time to say how a process ended, which some tests look at.
    monkeypatch.setattr(supervised, "EXIT_STATUS_S", 10.0)
    pools: list[LocalPool] = []

    def start(
        model: ServedModel | dict[str, ServedModel],
        instances: int = 1,
        batch_size: int = 1,
        timelines: list[Timeline] | None = None,
        **options: Any,
    ) -> LocalPool:
        models = model if isinstance(model, dict) else {"model": model}
        pools.append(pool := LocalPool(**{"devices": "cpu", **options}))
        pool.start(models, [list(models)] * instances, batch_size, timelines or [Timeline()] * instances)
        return pool

    yield start
    for pool in pools:
        pool.close()


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


# -- answers ----------------------------------------------------------------------------------------------------------


def test_a_network_gives_what_it_gives_without_a_pool(start: Start) -> None:
    pool = start(ServedModel(mlp, SHAPE, (10,)), batch_size=4)
    queries = torch.rand(4, *SHAPE)
    with torch.inference_mode():
        expected = mlp()(queries)
    assert torch.allclose(answer(pool, 0, "model", queries), expected, atol=1e-6)


@pytest.mark.parametrize("change", [torch.Tensor.double, lambda queries: queries.mT, torch.Tensor.requires_grad_])
def test_queries_need_not_be_plain(start: Start, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    for shared_memory_kb in (256, 0):
        pool = start(ServedModel(partial(scale, 2.0), SHAPE, SHAPE), shared_memory_kb=shared_memory_kb)
        queries = change(torch.rand(1, *SHAPE))
        assert torch.equal(answer(pool, 0, "model", queries), (queries.detach() * 2).float())


def test_answers_of_one_instance_come_in_the_order_of_its_tasks_and_are_the_receivers_to_keep(start: Start) -> None:
    pool = start(CORNER, prefetch=16)
    queries = torch.rand(300, 1, *SHAPE)
    events: list[Event] = []
    sent = 0
    while len(events) < len(queries):
        while sent < len(queries) and pool.send(0, sent, "model", queries[sent]):
            sent += 1
        events += pool.poll(1)
    assert [event.task for event in events if isinstance(event, Finished)] == list(range(300))
    outputs = torch.stack([event.outputs for event in events if isinstance(event, Finished)])
    assert torch.equal(outputs, queries[:, :, 0, 0, :10])


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("prefetch", [1, 3])
@pytest.mark.one_of_many
def test_large_tensors_go_through_shared_memory(start: Start, batch_size: int, prefetch: int) -> None:
    pool = start(ServedModel(partial(scale, 2.0), LARGE, LARGE), batch_size=batch_size, prefetch=prefetch)
    kept = []
    for round_ in range(3):
        queries = [torch.rand(batch_size, *LARGE) for _ in range(prefetch)]
        for task, query in enumerate(queries):
            assert pool.send(0, 10 * round_ + task, "model", query)
        assert not pool.send(0, 999, "model", queries[0])
        events = gather(pool, has(Finished, prefetch))
        kept += [(query, event.outputs) for query, event in zip(queries, events, strict=True)]  # type: ignore[union-attr]
    assert all(torch.equal(query * 2, outputs) for query, outputs in kept)


def test_small_socket_buffers_make_smaller_tensors_go_through_shared_memory(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SEND_BUFFER_BYTES", 1)
    frontend, instance, fits_bytes = transport.channel()
    frontend.close()
    instance.close()
    assert 0 < fits_bytes < 28 * 28 * 4 * 4
    pool = start(ServedModel(partial(scale, 2.0), SHAPE, SHAPE), batch_size=8, prefetch=2)
    for count in (1, 8):
        queries = torch.rand(count, *SHAPE)
        assert torch.equal(answer(pool, 0, "model", queries), queries * 2)


def test_nothing_is_pickled_while_tasks_run(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"small": CORNER, "large": ServedModel(partial(scale, 2.0), LARGE, LARGE)}
    pool = start(models)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pickled")

    for module in (pickle, multiprocessing.reduction.ForkingPickler):
        for name in ("dumps", "loads"):
            monkeypatch.setattr(module, name, refuse)
    answer(pool, 0, "small", torch.rand(1, *SHAPE))
    answer(pool, 0, "large", torch.rand(1, *LARGE))


# -- time -------------------------------------------------------------------------------------------------------------


def test_a_factor_without_a_floor_stretches_the_time_of_the_model(start: Start) -> None:
    pool = start(OBEDIENT, timelines=[Timeline([(0, 1e6, 2.0, 0.05)])])
    pool.begin(time.monotonic())
    assert pool.send(0, 0, "model", torch.tensor([[4.0, 0.0]]))
    (event,) = gather(pool, bool)
    assert isinstance(event, Finished)
    assert event.finished_s - event.started_s >= 2 * 0.2 + 0.05


@pytest.mark.parametrize("shared_memory_kb", [0, 256])
def test_a_corrupt_instance_says_which_answers_were_spoilt(start: Start, shared_memory_kb: int) -> None:
    stuck = Timeline((), [(10, 1e6, Fault("stuck"))])
    pool = start(CORNER, timelines=[stuck], batch_size=4, shared_memory_kb=shared_memory_kb)
    queries = torch.rand(3, 4, *SHAPE)
    events: list[Event] = []
    for number, since_s in enumerate((0, 100, 100)):
        pool.begin(time.monotonic() - since_s)
        assert pool.send(0, number, "model", queries[number])
        events += gather(pool, bool)
    true, *spoilt = (event for event in events if isinstance(event, Finished))
    assert not true.corrupted and torch.equal(true.outputs, queries[0, :, 0, 0, :10])
    for event in spoilt:
        assert event.corrupted and torch.equal(event.outputs, true.outputs[-1:].expand(4, 10))


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_model_that_raises_gives_its_shared_memory_back(start: Start) -> None:
    pool = start(OBEDIENT, shared_memory_kb=0)
    for task in range(3):
        assert pool.send(0, task, "model", torch.tensor([[1.0, 0.0]]))
        gather(pool, has(Raised))


def test_what_a_killed_instance_had_sent_still_arrives_and_then_its_end(start: Start) -> None:
    pool = start(CORNER, prefetch=64)
    for task in range(20):
        assert pool.send(0, task, "model", torch.rand(1, *SHAPE))
    assert pool.send(0, 20, "model", torch.rand(1, *SHAPE))
    pid = pool.pids[0]
    assert pid is not None
    time.sleep(0.2)  # On no account poll here: the answers have to lie in the socket when the instance dies.
    os.kill(pid, signal.SIGSTOP)
    for task in range(21, 30):  # These it never reads.
        assert pool.send(0, task, "model", torch.rand(1, *SHAPE))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: gone(pid))
    events = gather(pool, has(Up))
    tasks = [event.task for event in events if isinstance(event, Finished)]
    assert tasks == list(range(len(tasks))) and len(tasks) <= 21
    assert [type(event) for event in events[len(tasks) :]] == [Down, Up]
    down = events[len(tasks)]
    assert isinstance(down, Down) and "SIGKILL" in down.reason and not down.final
    assert pool.pids[0] not in (None, pid)
    answer(pool, 0, "model", torch.rand(1, *SHAPE))


def test_an_instance_that_exits_says_how(start: Start) -> None:
    pool = start(OBEDIENT)
    assert pool.send(0, 1, "model", torch.tensor([[3.0, 0.0]]))
    down, up = gather(pool, has(Up))
    assert down == Down(0, "its process ended with exit status 7")
    assert up == Up(0)


def test_sending_to_a_stopped_instance_never_blocks(start: Start) -> None:
    pool = start(ServedModel(partial(scale, 2.0), SHAPE, SHAPE), prefetch=10**6, batch_size=16)
    pid = pool.pids[0]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    queries = torch.rand(16, *SHAPE)
    task = 0
    while pool.send(0, task, "model", queries):
        task += 1
        assert task < 10_000
    os.kill(pid, signal.SIGCONT)
    events = gather(pool, has(Finished, task))
    assert [event.task for event in events] == list(range(task))  # type: ignore[union-attr]


def test_a_frontend_that_was_away_does_not_take_that_for_a_hang(start: Start) -> None:
    pool = start(CORNER, hang_timeout_s=0.5)
    pid = pool.pids[0]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.8)  # Both stand still, as when somebody presses Ctrl-Z.
    os.kill(pid, signal.SIGCONT)
    assert pool.poll(0.7) == []
    assert pool.pids[0] == pid


def test_a_restart_that_cannot_load_is_a_failure(start: Start, tmp_path: Path) -> None:
    pool = start(ServedModel(partial(only_first_time, tmp_path / "marker"), (2,), (1,)), max_failures=2)
    assert pool.send(0, 1, "model", torch.ones(1, 2))
    first, last = gather(pool, has(Down, 2))
    assert isinstance(first, Down) and not first.final
    assert isinstance(last, Down) and last.final and "RuntimeError: the checkpoint is gone" in last.reason


@pytest.mark.slow
def test_instances_survive_the_fork_server(start: Start) -> None:
    pool = start(CORNER, instances=2)
    server_pid = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    os.kill(server_pid, signal.SIGKILL)
    for instance in (0, 1):
        answer(pool, instance, "model", torch.rand(1, *SHAPE))
    pids = pool.pids
    pool.kill(0)
    assert gather(pool, has(Up)) == [Down(0, "killed on demand"), Up(0)]
    answer(pool, 0, "model", torch.rand(1, *SHAPE))
    pids += pool.pids
    pool.close()
    assert all(pid is not None and gone(pid) for pid in pids)


def test_a_gpu_that_stays_lost_makes_its_instance_be_left_out(start: Start) -> None:
    pool = start(LOSES_ITS_DEVICE, max_failures=2)
    events: list[Event] = []
    for failure in (1, 2):
        send_soon(pool, 0, failure, torch.ones(1, 2))
        events += gather(pool, has(Down))
    final = [event for event in events if isinstance(event, Down)][-1]
    assert final.final and "is lost: CUDA error: unspecified launch failure" in final.reason


def test_an_instance_without_a_gpu_to_start_on_says_so(start: Start) -> None:
    with pytest.raises(UserError, match=r"cannot start: cpu is lost: CUDA error: all CUDA-capable devices are busy"):
        start(ServedModel(no_device, (2,), (1,)))


# -- start and end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "text"),
    [
        (missing_checkpoint, "base.checkpoint=nowhere.ckpt: no such file"),
        (out_of_memory, "RuntimeError: out of memory. Tried to allocate 20.00 GiB"),
        (exits, "its process ended with exit status 9"),
        (partial(scale, 1.0), "expected (1, 7)"),
        (lambda: None, "its loader cannot be sent to an instance"),
    ],
)
def test_an_instance_that_cannot_start_fails_the_start_with_its_own_words(
    start: Start, load: Callable[[], torch.nn.Module], text: str
) -> None:
    children = set(descendants(os.getpid()))
    with pytest.raises(UserError) as refusal:
        start({"good": CORNER, "bad": ServedModel(load, (5,), (7,))}, instances=2)
    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not instances_among(set(descendants(os.getpid())) - children)


def test_an_instance_that_is_not_ready_in_time_fails_the_start(start: Start) -> None:
    with pytest.raises(UserError, match=r"instance 0 .*pool\.start_timeout_s=1"):
        start(ServedModel(never_ready, (5,), (7,)), start_timeout_s=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"devices": "cuda:99"}, "devices: there is no cuda:99"),
        ({"devices": ["cpu", f"cuda:{GPUS}"]}, f"devices: there is no cuda:{GPUS}"),
        ({"devices": "abacus"}, "devices: abacus is not a device"),
        ({"devices": "meta"}, "devices: instances cannot run on meta"),
        ({"devices": []}, "devices=[]: expected"),
        ({"devices": 0}, "devices=0"),
        ({"prefetch": 0}, "prefetch=0"),
        ({"prefetch": 1.5}, "prefetch=1.5"),
        ({"service_time_ms": -1}, "service_time_ms=-1"),
        ({"hang_timeout_s": 0.1}, "hang_timeout_s=0.1"),
        ({"task_timeout_s": "long"}, "task_timeout_s=long"),
        ({"max_failures": True}, "max_failures=True"),
        ({"cuda_graphs": True}, "cuda_graphs=true: instances are on cpu"),
        ({"cuda_graphs": "yes"}, "cuda_graphs=yes: expected True or False or auto"),
        ({"precision": "float8"}, "precision=float8: expected float32"),
        ({"compile": "yes"}, "compile=yes: expected True or False"),
        ({"tf32": 2}, "tf32=2"),
        ({"cudnn_benchmark": "yes"}, "cudnn_benchmark=yes"),
        ({"channels_last": "yes"}, "channels_last=yes"),
    ],
)
def test_a_setting_that_cannot_work_is_named_before_anything_starts(
    start: Start, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingError) as refusal:
        start(CORNER, **options)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_too_few_files_fail_the_start_in_one_line(start: Start) -> None:
    start(CORNER).close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 12, hard))
    try:
        with pytest.raises(UserError, match=r"instance \d cannot start: .*Too many open files"):
            start(CORNER, instances=9)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_instances_keep_to_their_cores(start: Start) -> None:
    pool = start(CORNER, instances=3, pin_cores=True)
    cores = sorted(os.sched_getaffinity(0))
    pinned = [os.sched_getaffinity(pid) for pid in pool.pids if pid is not None]
    assert pinned == [{cores[instance % len(cores)]} for instance in range(3)]


def test_pools_one_after_another_leave_nothing_behind(start: Start) -> None:
    start(CORNER).close()  # Starts the fork server, which stays.
    descriptors = open_descriptors()
    children = descendants(os.getpid())
    pids: list[int | None] = []
    for _ in range(4):
        pool = start({"small": CORNER, "large": ServedModel(partial(scale, 2.0), LARGE, LARGE)}, instances=2)
        pids += pool.pids
        pool.kill(0)
        assert pool.send(1, 1, "large", torch.rand(1, *LARGE))
        gather(pool, has(Up))
        pids += pool.pids
        pool.close()
        pool.close()
    assert all(pid is not None and gone(pid) for pid in pids)
    assert descendants(os.getpid()) == children
    assert open_descriptors() == descriptors


SCRIPT = textwrap.dedent("""
    import sys, time, torch
    from parity_exp.serving.pool import ServedModel
    from parity_exp.serving.pools import LocalPool
    from parity_exp.disturbances.timeline import Timeline
    from tests.serving.small_models import OBEDIENT

    class Mine(torch.nn.Module):
        def forward(self, queries):
            return queries + 1

    if __name__ == "__main__":
        pool = LocalPool(devices="cpu")
        try:
            print("starting", flush=True)
            models = {"mine": ServedModel(Mine, (2,), (2,)), "obedient": OBEDIENT}
            pool.start(models, [list(models)] * 3, 1, [Timeline()] * 3)
            pool.send(0, 0, "mine", torch.zeros(1, 2))
            assert pool.poll(20)[0].outputs.tolist() == [[1, 1]]
            pool.send(0, 1, "obedient", torch.full((1, 2), 2.0))
            print(*pool.pids, flush=True)
            while True:
                pool.poll(1)
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            pool.close()
""")


FORGETFUL = """\
    pool.start({"mine": ServedModel(Mine, (2,), (2,))}, [["mine"]] * 2, 1, [Timeline()] * 2)
    print(*pool.pids)
    sys.exit(3)
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A user's script that serves with a pool, in a process group of its own; one of its instances never comes back."""
    (tmp_path / "serve_mine.py").write_text(SCRIPT)
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "serve_mine.py")],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heard_by_default,
    )
    yield process
    process.kill()
    process.communicate(timeout=PATIENCE_S)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.slow
def test_instances_end_when_their_frontend_is_killed(script: subprocess.Popen[str]) -> None:
    assert line_of(script) == "starting\n"
    pids = [int(word) for word in line_of(script).split()]
    everybody = descendants(script.pid)
    assert set(pids) <= set(everybody)
    os.kill(pids[1], signal.SIGSTOP)
    script.kill()
    wait_until(lambda: all(gone(pid) for pid in everybody))


def test_ctrl_c_while_serving_leaves_no_process_and_no_traceback(script: subprocess.Popen[str]) -> None:
    assert line_of(script) == "starting\n"
    assert len(line_of(script).split()) == 3
    everybody = descendants(script.pid)
    os.killpg(script.pid, signal.SIGINT)
    _, errors = script.communicate(timeout=PATIENCE_S)
    assert script.returncode == 130
    assert errors == ""
    wait_until(lambda: all(gone(pid) for pid in everybody))


@pytest.mark.slow
def test_ctrl_c_while_starting_leaves_no_process_and_no_traceback(script: subprocess.Popen[str]) -> None:
    assert line_of(script) == "starting\n"
    wait_until(lambda: len(descendants(script.pid)) >= 2)  # The resource tracker, and the fork server that imports.
    everybody = descendants(script.pid)
    os.killpg(script.pid, signal.SIGINT)
    _, errors = script.communicate(timeout=PATIENCE_S)
    assert script.returncode == 130
    assert errors == ""
    wait_until(lambda: all(gone(pid) for pid in everybody))


@pytest.mark.slow
def test_a_script_that_forgets_to_close_its_pool_ends_in_order(tmp_path: Path) -> None:
    (tmp_path / "forgetful.py").write_text(SCRIPT.partition("    try:")[0] + FORGETFUL)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "forgetful.py")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, "")
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2 and all(gone(pid) for pid in pids)


def descendants(pid: int) -> list[int]:
    """Children of a process, and theirs, by what the system says of every process."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and not gone(int(folder.name)):
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [pid]
    for parent in found:
        found += sorted(child for child, its_parent in parents.items() if its_parent == parent)
    return found[1:]


def instances_among(pids: set[int]) -> set[int]:
    """Those of the processes that have started as an instance; the fork server and the resource tracker have not."""

    def name(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/comm").read_text()
        except OSError:
            return ""

    return {pid for pid in pids if name(pid).startswith("instance-")}


# -- GPUs -------------------------------------------------------------------------------------------------------------

needs_gpu = pytest.mark.skipif(GPUS == 0, reason="needs a GPU")


@needs_gpu
def test_instances_share_the_gpus_and_the_frontend_takes_no_part(start: Start) -> None:
    pool = start(ServedModel(mlp, SHAPE, (10,)), instances=2 * GPUS, batch_size=4, devices="auto")
    queries = torch.rand(4, *SHAPE)
    with torch.inference_mode():
        expected = mlp()(queries)
    for instance in range(2 * GPUS):
        assert torch.allclose(answer(pool, instance, "model", queries), expected, atol=1e-3)
    assert not torch.cuda.is_initialized()


@needs_gpu
def test_large_tensors_reach_a_gpu(start: Start) -> None:
    pool = start(ServedModel(partial(scale, 2.0), LARGE, LARGE), batch_size=2, devices="cuda:0")
    queries = torch.rand(2, *LARGE)
    assert torch.equal(answer(pool, 0, "model", queries), queries * 2)


@needs_gpu
def test_an_instance_whose_gpu_context_is_lost_starts_anew(start: Start) -> None:
    pool = start(OBEDIENT, devices="cuda:0")
    assert pool.send(0, 1, "model", torch.tensor([[6.0, 0.0]]))
    down, up = gather(pool, has(Up))
    assert isinstance(down, Down) and "cuda:0 is lost" in down.reason and isinstance(up, Up)
    assert answer(pool, 0, "model", torch.tensor([[0.5, 0.0]])).item() == 0.5


def test_more_instances_than_a_machine_can_hold_are_refused_at_once() -> None:
    with pytest.raises(SettingError, match=r"instances: 20,000 instances, each a process of this machine"):
        LocalPool().check(20_000)
