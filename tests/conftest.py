"""What tests of the command line share: an empty folder to run in, offline tracking, and ways to run a command."""

import gc
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import settings

from parity_exp.cli import main
from tests import warm_start
from tests.blank_figures import blank_figures
from tests.quick_hydra import quick_hydra
from tests.turns import Turns

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

QUICK = ("dataset.limit=400", "trainer.max_epochs=2", "base.max_epochs=2", "trainer.accelerator=cpu")
"""Overrides that make a job take a second."""

settings.register_profile("at any speed", deadline=None)  # a busy machine is no defect of what is tested
settings.load_profile("at any speed")

HERE = Path(__file__).parent

WITH_FIGURES = ("benchmarks", "gpu")
"""Folders whose tests measure how long everything takes."""

SMALL_NODE = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
"""Arguments of a Ray node that takes little room."""

TURNS = "PARITY_EXP_TEST_TURNS"
"""Environment variable: where workers find each other."""

RUN_COMMANDS = {"run", "trained", "copied"}
"""Fixtures of tests that take their time for the command that they run, whatever they look at."""

SLOW_TESTS = Path(__file__).with_name("slow_tests.txt")

WAITING = ("serving", "client", "endpoint", "commands", "experiment", "policies", "api", "analysis")
"""Folders whose quick tests take longest, most of it waiting for processes or not; workers begin with them."""

WITH_A_FORK_SERVER = "serving"
"""The folder whose quick tests start instances, all from one worker: its fork server takes seconds to start."""

MOST_WORKERS = 4
"""More of them only get into the way of the processes that tests start."""

Run = Callable[..., int]
Trained = Callable[..., Path]


def pytest_configure(config: pytest.Config) -> None:
    """One thread a process: the tests' networks are too small for more, which would only wait for each other."""
    gc.disable()  # nearly all that is made while tests are collected is there for good
    if not config.getoption("benchmark_enable"):  # speed is measured with what users have
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    config.option.loadscopereorder = False  # tests come in the order of pytest_collection_modifyitems
    if "PYTEST_XDIST_WORKER" not in os.environ and config.getoption("numprocesses"):
        turns = tempfile.TemporaryDirectory(prefix="parity-exp-tests-")
        os.environ[TURNS] = turns.name
        config.add_cleanup(turns.cleanup)


@pytest.fixture(autouse=True, scope="session")
def quick() -> Iterator[pytest.MonkeyPatch]:
    """Configs are composed quickly, until its patches are undone."""
    with pytest.MonkeyPatch.context() as patch:
        quick_hydra(patch)
        yield patch


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each core; none for benchmarks, and for a few files, which are over before a worker has started."""
    named = [Path(word.partition("::")[0]) for word in config.args]
    if config.getoption("benchmark_enable") or all(path.is_file() for path in named):
        return 0
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def slow_tests() -> frozenset[str]:
    """Ids of the tests that are slow by measurement; see the file."""
    lines = SLOW_TESTS.read_text().splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of many cases of one command, or of what says so, the quick tests run the first; one worker has the GPU."""
    seen: set[tuple[Path, str]] = set()
    listed = slow_tests()
    for item in items:
        if item.nodeid.partition("[")[0] in listed:
            item.add_marker("slow")
        if item.get_closest_marker("gpu") is not None:
            item.add_marker(pytest.mark.xdist_group("gpu"))
        function = item.path, getattr(item, "originalname", item.name)
        runs_a_command = not RUN_COMMANDS.isdisjoint(getattr(item, "fixturenames", ()))
        if not (runs_a_command or item.get_closest_marker("one_of_many")) or item.get_closest_marker("slow"):
            continue
        if function in seen:
            item.add_marker("slow")
        seen.add(function)
    if "PYTEST_XDIST_WORKER" in os.environ:
        _share_out(items)


def _share_out(items: list[pytest.Item]) -> None:
    """Keep the quick tests of a file on one worker, since each that has some makes what they share; long ones first."""
    folders = {item: item.path.relative_to(HERE).parts[0] for item in items}
    for item, folder in folders.items():
        if item.get_closest_marker("slow") is None and item.get_closest_marker("xdist_group") is None:
            group = folder if folder == WITH_A_FORK_SERVER else str(item.path.relative_to(HERE))
            item.add_marker(pytest.mark.xdist_group(group))
    places = {folder: place for place, folder in enumerate(WAITING)}
    items.sort(key=lambda item: places.get(folders[item], len(places)))


@pytest.hookimpl(tryfirst=True)  # before xdist tells of the tests that there are
def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()  # before anybody goes through a million things for the first time
    gc.enable()
    for item in session.items:
        # xdist 3.8 writes a test's group where pytest kept a test's id until 9.1, and where nobody looks any more.
        named = getattr(item, "_nodeid", item.nodeid)
        if named != item.nodeid:
            item._id = type(item._id).parse(named)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True, scope="module")
def earlier_things_frozen() -> None:
    """Set aside what other tests have imported and made: it is a million things, which collections need not go through.

    Some tests count what is alive as well, and much of what is tested begins with a collection.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Tests marked ``alone`` have the machine for themselves, however many workers there are."""
    folder = os.environ.get(TURNS)
    if folder is None:
        return (yield)
    with Turns(Path(folder)).turn(item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder in which nobody is logged in anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setattr(sys, "argv", ["parity-exp"])
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Iterator[Run]:
    """Runs a command line in this process and returns its exit status."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    yield lambda *arguments: main(list(arguments))
    # Hydra's write to the standard output of this test, which is closed when the next one begins.
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session's, which all of its workers have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def trained(shared_folder: Path) -> Trained:
    """Trains with some overrides and gives the run directory, not to be written to; the same give the same run.

    Whichever worker needs a run first makes it, and the others wait for it.
    """

    @cache
    def train(*overrides: str) -> Path:
        name = hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:16]
        folder = shared_folder / f"trained-{name}"
        done = folder.with_suffix(".done")
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                with pytest.MonkeyPatch.context() as patch:
                    patch.chdir(folder)
                    patch.setattr(sys, "argv", ["parity-exp"])
                    blank_figures(patch)
                    assert main(["train", *QUICK, "tracker=none", *overrides]) == 0
                done.touch()
        (run_dir,) = run_dirs(folder)
        return run_dir

    return train


@pytest.fixture(autouse=True)
def no_drawing_unless_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of jobs in this process are white pixels but for tests marked ``draws``."""
    folder = request.node.path.relative_to(HERE).parts[0]
    if folder not in WITH_FIGURES and request.node.get_closest_marker("draws") is None:
        blank_figures(monkeypatch)


def start(folder: Path, *arguments: str) -> warm_start.Job:
    """Start a command line in a process of its own, offline."""
    return warm_start.start(folder, arguments, WANDB_MODE="offline", WANDB_SILENT="true")


def run_dirs(folder: Path, command: str = "train") -> list[Path]:
    """Run directories of finished and unfinished jobs, oldest first."""
    return sorted(
        path.parent for path in (folder / "outputs" / command).rglob("config.yaml") if ".hydra" not in str(path)
    )


def metrics(run_dir: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads((run_dir / "metrics.json").read_text())
    return values


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator["Cluster"]:
    """A Ray cluster of one node, to which tests may add others; this process has joined it."""
    from ray.cluster_utils import Cluster

    from parity_exp.process.ray_cluster import join, leave

    settings = {"prestart_worker_first_driver": False, "worker_niceness": 0}
    cluster = Cluster(True, head_node_args={"num_cpus": 4, "_system_config": settings, **SMALL_NODE})
    try:
        join(cluster.address, 0, None, "pool.address")
        yield cluster
    finally:
        leave()
        cluster.shutdown()


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """A trained run that the test may damage."""
    return Path(shutil.copytree(trained(), tmp_path / "copied"))
