"""Try a device: train a base and a parity model on the bundled digits and serve them there, as ``run`` does."""

import time
from pathlib import Path

from parity_exp.doctor.children import Children
from parity_exp.doctor.findings import Finding, State
from parity_exp.errors import UserError
from parity_exp.recordings.run_directory import RunDirectory

QUERIES = 40

LONGEST_S = 300
"""A device that has not done by then has failed; it takes some ten seconds."""

SMALL = (
    "dataset=digits",
    "recipe=fast",
    "base.max_epochs=5",
    "trainer.max_epochs=5",
    "tracker=none",
    "redundancy=[parity]",
    "straggler=none",
    "pool=local",
    "pool.instances=1",
    "pool.service_time_ms=0",
    f"load.queries={QUERIES}",
    "load.warmup=0",
    "load.rate_qps=100",
    "load.slo_ms=null",
    "outputs=outputs",
    "hydra.run.dir=run",
)


def trial(device: str, folder: Path, children: Children) -> Finding:
    """What came of trying a device.

    Args:
        device: ``cpu`` or a kind and a number, ``cuda:0``.
        folder: an empty one of its own.
        children: who starts processes.
    """
    folder.mkdir()
    began = time.monotonic()
    command = ["-m", "parity_exp", "run", *SMALL, *on(device)]
    said = children.ask(command, folder, LONGEST_S)
    seconds = time.monotonic() - began
    if said.problem:
        return _failed(device, said.problem)
    try:
        metrics = RunDirectory(folder / "run").read_metrics()
        answered = metrics["serve/parity/queries"] - metrics["serve/parity/lost"]
        errors = metrics["serve/parity/fraction/error"]
        latency_ms = metrics["serve/parity/latency_ms/p50"]
        available, degraded = metrics["test/available_accuracy"], metrics["test/degraded_accuracy"]
    except (OSError, UserError, KeyError) as error:
        return _failed(device, f"it left no results ({type(error).__name__}: {error})")
    if answered < QUERIES or errors > 0:
        return _failed(device, f"{answered:.0f} of {QUERIES} queries were answered, {errors:.0%} of them by errors")
    text = (
        f"trained a base and a parity model (accuracy {available:.2f}, degraded {degraded:.2f}) and answered "
        f"{QUERIES} queries (p50 {latency_ms:.1f} ms), in {seconds:.0f} s"
    )
    return Finding(device, text)


def on(device: str) -> list[str]:
    """Overrides by which a job trains and serves on a device."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return ["trainer=cpu", "pool.devices=cpu"]
    trainer = ["trainer=gpu"] if kind == "cuda" else ["trainer=auto", f"trainer.accelerator={kind}"]
    if index not in ("", "0"):  # one process is on the first otherwise
        trainer.append(f"trainer.devices=[{index}]")
    return [*trainer, f"pool.devices=[{device}]"]


def _failed(device: str, why: str) -> Finding:
    again = f"parity-exp doctor pool.devices={device}, or do without it: trainer=cpu pool.devices=cpu"
    return Finding(device, f"failed its trial: {why}", State.BROKEN, f"try it alone once more: {again}")
