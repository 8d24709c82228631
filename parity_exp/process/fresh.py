"""Processes that are told all they need, and so do not run the program's main module once more.

Multiprocessing has every process that it does not fork import the main module of the program first, so that what is
defined there is found. A script that has no ``if __name__ == "__main__":`` would start everything again, and what a
notebook defines is in no file at all. Here such things are sent as they are (by cloudpickle), and nobody needs that.
"""

import multiprocessing
from multiprocessing import spawn
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from types import FunctionType, SimpleNamespace
from typing import Any

OF_MAIN = ("init_main_from_name", "init_main_from_path")
"""What multiprocessing tells new processes about the main module."""


def fresh_processes() -> SpawnContext:
    """The context of processes that begin with an empty interpreter."""
    try:
        from multiprocessing import popen_spawn_posix
    except ImportError:  # Windows, whose processes are launched in another way
        return multiprocessing.get_context("spawn")
    _FreshProcess.popen = _without_main(popen_spawn_posix)
    return _FreshContext()


def from_fork_server() -> ForkServerContext:
    """The context of processes that are forked from multiprocessing's fork server."""
    from multiprocessing import popen_forkserver

    _ForkedProcess.popen = _without_main(popen_forkserver)
    return _ForkedContext()


def _without_main(module: Any) -> Any:
    """A module of multiprocessing's way to launch a process, without word of the main module."""
    told = SimpleNamespace(**{**vars(spawn), "get_preparation_data": _preparation})
    launch = module.Popen._launch
    own = FunctionType(launch.__code__, {**vars(module), "spawn": told}, launch.__name__, launch.__defaults__)
    return type("Popen", (module.Popen,), {"_launch": own})


def _preparation(name: str) -> dict[str, Any]:
    told: dict[str, Any] = spawn.get_preparation_data(name)
    return {key: value for key, value in told.items() if key not in OF_MAIN}


class _FreshProcess(SpawnProcess):
    popen: Any = None

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - multiprocessing's name
        return _FreshProcess.popen(process_obj)


class _ForkedProcess(ForkServerProcess):
    popen: Any = None

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802
        return _ForkedProcess.popen(process_obj)


class _FreshContext(SpawnContext):
    Process = _FreshProcess


class _ForkedContext(ForkServerContext):
    Process = _ForkedProcess
