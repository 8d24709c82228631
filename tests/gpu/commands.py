"""The command line on a GPU: it trains, evaluates and serves there, and results are those of a processor.

Most of a short command's time is Python's start, so what does not need each other runs side by side.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.gpu.rows import Row

POLICIES = ("equal_resources", "parity", "shared_parity", "hedged")
TIMEOUT_S = 180
DEGRADED = "test/degraded_accuracy"


class FailedError(Exception):
    """A command ended otherwise than it should; the text says how."""


def parity_exp(folder: Path, *arguments: str) -> float:
    """Run a command line in a folder, and return how many seconds it took.

    Raises:
        FailedError: it failed, or took too long; with the end of what it printed.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    started_s = time.perf_counter()
    words = [sys.executable, "-m", "parity_exp", *arguments, "tracker=none"]
    try:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"{' '.join(words[1:])} took more than {TIMEOUT_S} s") from error
    if done.returncode != 0 or "Traceback" in done.stderr:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise FailedError(f"{' '.join(words[1:])} ended with {done.returncode}:\n{tail}")
    return time.perf_counter() - started_s


def metrics(run: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return values


def check(folder: Path) -> list[Row]:
    """Train, resume, evaluate and serve with the command line; the runs are left in the folder."""
    with ThreadPoolExecutor() as pool:
        chains = [pool.submit(chain, folder) for chain in (_digits, _resnet, _ddp)]
        return [row for chain in chains for row in chain.result()]


def _digits(folder: Path) -> list[Row]:
    """The default training; then what is done with it, side by side."""
    took_s = parity_exp(folder, "train", "hydra.run.dir=digits", "trainer.accelerator=gpu")
    degraded = metrics(folder / "digits")[DEGRADED]
    rows = [
        Row("train, digits: degraded accuracy", degraded, "", None, "", ">= 0.93", degraded >= 0.93),
        Row("train, digits: the whole command", took_s, "s"),
    ]

    def evaluate(device: str, place: str, baseline: str) -> list[Row]:
        parity_exp(folder, "evaluate", "run=digits", f"hydra.run.dir={place}", f"trainer.accelerator={device}")
        value = metrics(folder / place)[DEGRADED]
        holds = abs(value - degraded) <= 0.01
        return [Row(f"evaluate, {place}: degraded accuracy", value, "", degraded, baseline, "+- 0.01", holds)]

    with ThreadPoolExecutor() as pool:
        parts = [
            pool.submit(evaluate, "gpu", "again", "train's own"),
            pool.submit(evaluate, "cpu", "on-cpu", "on the GPU"),
            pool.submit(_serve, folder, POLICIES),
        ]
        return rows + [row for part in parts for row in part.result()]


def _serve(folder: Path, policies: Sequence[str]) -> list[Row]:
    listed = f"redundancy=[{','.join(policies)}]"
    took_s = parity_exp(
        folder, "serve", "run=digits", listed, "load.queries=1000", "pool.service_time_ms=0", "hydra.run.dir=served"
    )
    served = metrics(folder / "served")
    rows = [Row(f"serve, {len(policies)} policies: the whole command", took_s, "s")]
    for policy in policies:
        lost = served[f"serve/{policy}/lost"]
        rows.append(Row(f"serve, {policy}: lost", lost, "", None, "", "0", lost == 0))
        rows.append(
            Row(f"serve, {policy}: p99, other commands beside it", served[f"serve/{policy}/latency_ms/p99"], "ms")
        )
    return rows


def _resnet(folder: Path) -> list[Row]:
    network = ("architecture=resnet18", "trainer.precision=bf16-mixed", "base.max_epochs=3", "trainer.accelerator=gpu")
    parity_exp(folder, "train", *network, "trainer.max_epochs=2", "hydra.run.dir=resnet")
    parity_exp(folder, "train", "resume=resnet", "trainer.max_epochs=6")
    value = metrics(folder / "resnet")[DEGRADED]
    return [Row("train and resume, ResNet-18: degraded accuracy", value, "", None, "", ">= 0.5", value >= 0.5)]


def _ddp(folder: Path) -> list[Row]:
    """One process of several: the collective library is set up, and steps are taken operation by operation."""
    few = ("trainer.max_epochs=2", "base.max_epochs=2")
    parity_exp(folder, "train", "trainer=ddp", "trainer.devices=1", *few, "hydra.run.dir=ddp")
    value = metrics(folder / "ddp")[DEGRADED]
    return [Row("train, trainer=ddp with one process: degraded accuracy", value, "")]
