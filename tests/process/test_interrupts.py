"""Once a signal has come nothing goes on, wherever it came and whatever was made of it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from parity_exp.cli import main
from parity_exp.errors import UserError
from parity_exp.process import interrupts
from tests.child_signals import SIGNALS, heard_by_default, heard_here
from tests.conftest import Run


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    with heard_here():
        yield


class Thing:
    pass


def plainly(number: int) -> None:
    signal.raise_signal(number)


def in_a_weakref_callback(number: int) -> None:
    thing = Thing()
    _ = weakref.ref(thing, lambda _: signal.raise_signal(number))
    del thing
    time.sleep(5)


def in_a_finalizer(number: int) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(number)

    Finalized()
    time.sleep(5)


def turned_into_another_error(number: int) -> None:
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise AttributeError("'NoneType' object has no attribute '_metadata'") from None


def turned_into_a_failed_import(number: int) -> None:
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise ImportError("initialization failed") from None


def turned_into_bad_input(number: int) -> None:
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise UserError("a file is damaged") from None


def turned_into_an_exit(number: int) -> None:
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        sys.exit(1)


def swallowed(number: int) -> None:
    try:
        signal.raise_signal(number)
    except BaseException:
        return


WAYS = [
    plainly,
    in_a_weakref_callback,
    in_a_finalizer,
    turned_into_another_error,
    turned_into_a_failed_import,
    turned_into_bad_input,
    turned_into_an_exit,
    swallowed,
]


@pytest.mark.parametrize(("way", "number"), list(zip(WAYS, cycle(SIGNALS), strict=False)))
def test_a_sweep_ends_with_the_job_that_a_signal_came_in(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[int], None],
    number: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    begun = []

    def job(config: object) -> float:
        begun.append(config)
        way(number)
        return 1.0

    monkeypatch.setattr("parity_exp.commands.simulate.run", job)
    assert run("simulate", "-m", "k=2,3,4") == 130
    assert len(begun) == 1
    shown = capfd.readouterr().err
    assert "Traceback" not in shown and "Exception ignored" not in shown
    assert shown.splitlines()[-1] == "parity-exp simulate: interrupted"


def test_handlers_are_as_before_after_a_command(run: Run) -> None:
    before = [signal.getsignal(number) for number in SIGNALS], sys.unraisablehook
    assert run("--version") == 0
    assert ([signal.getsignal(number) for number in SIGNALS], sys.unraisablehook) == before


def test_an_ignored_signal_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.listening():
            signal.raise_signal(signal.SIGHUP)
            assert not interrupts.arrived()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_block_that_must_not_be_left_half_done_is_done(number: int) -> None:
    done = []
    with interrupts.listening(), pytest.raises(KeyboardInterrupt):
        with interrupts.ctrl_c_waits():
            signal.raise_signal(number)
            done.append(number)
        done.append(0)
    assert done == [number]


def test_a_librarys_own_handler_of_ctrl_c_hears_the_other_signals_too() -> None:
    heard: list[int] = []
    with interrupts.listening():
        signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.arrived()
    assert heard == [signal.SIGINT]


def test_a_fork_ends_by_the_signal_as_its_parent_expects() -> None:
    with interrupts.listening():
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, b"x")
            time.sleep(30)
            os._exit(0)
        os.read(reader, 1)
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM


def program(folder: Path, job: str, *, wait_for: str) -> subprocess.Popen[str]:
    """The program with another job, whose beginning is awaited."""
    code = f"""
        import sys, time
        import parity_exp.commands.simulate as command
        from parity_exp.cli import main
        def run(config):
            {job}
            return 1.0
        command.run = run
        sys.argv = ["parity-exp", "simulate", "hydra.run.dir=run"]
        sys.exit(main())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=heard_by_default,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == wait_for
    return process


@pytest.mark.parametrize(
    ("number", "job"),
    [
        (signal.SIGINT, "print('begun', flush=True); time.sleep(60)"),
        # An interruption inside exec() makes the interpreter itself end by the signal.
        pytest.param(signal.SIGTERM, "exec(\"print('begun', flush=True); time.sleep(60)\")", marks=pytest.mark.slow),
        pytest.param(
            signal.SIGHUP,
            "import atexit; atexit.register(time.sleep, 1); print('begun', flush=True)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_program_ends_with_130(folder: Path, job: str, number: int) -> None:
    process = program(folder, job, wait_for="begun")
    if "atexit" in job:
        time.sleep(0.5)  # it is at its end by now
    process.send_signal(number)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "Traceback" not in shown


def test_outside_the_main_thread_a_command_works_as_well(folder: Path) -> None:
    import threading

    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(main(["--version"])))
    thread.start()
    thread.join()
    assert statuses == [0]
