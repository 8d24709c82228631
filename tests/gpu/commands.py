"""The command line on a GPU: it trains, evaluates and serves there, and results are those of a processor."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tests.gpu.rows import Row

POLICIES = ("equal_resources", "parity", "shared_parity", "hedged")
TIMEOUT_S = 150
DEGRADED = "test/degraded_accuracy"


class FailedError(Exception):
    """A command ended otherwise than it should; the text says how."""


def parity_exp(folder: Path, *arguments: str) -> float:
    """Run a command line in a folder, and return how many seconds it took.

    Raises:
        FailedError: it failed; with the end of what it printed.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    started_s = time.perf_counter()
    words = [sys.executable, "-m", "parity_exp", *arguments, "tracker=none"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0 or "Traceback" in done.stderr:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise FailedError(f"{' '.join(words[1:])} ended with {done.returncode}:\n{tail}")
    return time.perf_counter() - started_s


def metrics(run: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return values


def check(folder: Path, policies: Sequence[str] = POLICIES) -> list[Row]:
    """Train, resume, evaluate and serve with the command line; the trained runs are left in the folder."""
    rows = []
    took_s = parity_exp(folder, "train", "hydra.run.dir=digits", "trainer.accelerator=gpu")
    trained = metrics(folder / "digits")
    degraded = trained[DEGRADED]
    rows.append(Row("train, digits: degraded accuracy", degraded, "", None, "", ">= 0.93", degraded >= 0.93))
    rows.append(Row("train, digits: the whole command", took_s, "s"))

    parity_exp(folder, "evaluate", "run=digits", "hydra.run.dir=again", "trainer.accelerator=gpu")
    parity_exp(folder, "evaluate", "run=digits", "hydra.run.dir=on-cpu", "trainer.accelerator=cpu")
    for place, baseline in (("again", "train's own"), ("on-cpu", "on the GPU")):
        value = metrics(folder / place)[DEGRADED]
        rows.append(Row(f"evaluate, {place}", value, "", degraded, baseline, "+- 0.01", abs(value - degraded) <= 0.01))

    rows.append(_recorded_beside_plain(folder))
    parity_exp(folder, "train", "trainer=ddp", "trainer.max_epochs=2", "hydra.run.dir=ddp")
    rows.append(Row("train, trainer=ddp on one GPU: degraded accuracy", metrics(folder / "ddp")[DEGRADED], ""))

    network = ("architecture=resnet18", "trainer.precision=bf16-mixed", "base.max_epochs=3", "trainer.accelerator=gpu")
    parity_exp(folder, "train", *network, "trainer.max_epochs=2", "hydra.run.dir=resnet")
    parity_exp(folder, "train", "resume=resnet", "trainer.max_epochs=6")
    value = metrics(folder / "resnet")[DEGRADED]
    rows.append(Row("train and resume, ResNet-18: degraded accuracy", value, "", None, "", ">= 0.5", value >= 0.5))

    listed = f"redundancy=[{','.join(policies)}]"
    served_s = parity_exp(folder, "serve", "run=digits", listed, "load.queries=2000", "hydra.run.dir=served")
    served = metrics(folder / "served")
    rows.append(Row(f"serve, {len(policies)} policies: the whole command", served_s, "s"))
    for policy in policies:
        prefix = f"serve/{policy}"
        lost = served[f"{prefix}/lost"]
        rows.append(Row(f"{prefix}: lost", lost, "", None, "", "0", lost == 0))
        rows.append(Row(f"{prefix}: p99", served[f"{prefix}/latency_ms/p99"], "ms"))
    return rows


def _recorded_beside_plain(folder: Path) -> Row:
    """The loss after some epochs of recorded steps, with all that a step may contain, and of plain ones."""
    losses = []
    for recorded in (True, False):
        run = folder / f"recorded-{recorded}"
        parity_exp(
            folder,
            "train",
            f"trainer.cuda_graphs={recorded}",
            "trainer.tf32=false",
            "trainer.accumulate_grad_batches=2",
            "trainer.gradient_clip_val=1.0",
            "trainer.accelerator=gpu",
            "trainer.max_epochs=5",
            f"hydra.run.dir={run}",
        )
        losses.append(float(pd.read_csv(run / "history.csv")["train/loss"].iloc[-1]))
    ours, plain = losses
    return Row(
        "train, recorded: loss of epoch 5", ours, "", plain, "not recorded", "+- 2 %", abs(ours / plain - 1) < 0.02
    )
