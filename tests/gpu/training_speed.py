"""Steps per second of training on a GPU, beside bare loops that take the very same step.

What is trained is what a command line composes. Two baselines: one starts every operation of a step from Python, as
most training loops do; the other has one step recorded as a CUDA graph on one batch, and replays it, which is all that
the hardware can do with these operations. Both are without Lightning, schedules, histories, checkpoints, validation,
and without choosing a batch.

Run with::

    python -m tests.gpu.training_speed

from the root of the repository.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from torch import nn

from parity_exp.data import GroupBatch, GroupDataModule, Samples, Splits
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.job import resolved
from parity_exp.tasks import Classification
from parity_exp.training import Acceleration, CodedModule, fit
from tests.gpu.rows import Row, table

SHAPE, CLASSES, GROUPS = (1, 28, 28), 10, 64
TRAINING, VALIDATION = 55_000, 5_000
SHARE = 0.7
"""Of the replayed step's rate, what training as a whole is to reach."""


@dataclass(frozen=True)
class Workload:
    """What is trained, and how fast that is to be.

    Attributes:
        name: what the table calls it.
        overrides: its command line.
        epochs: epochs that are trained; the first is not counted.
        wanted: steps/s; None: only the share of the replayed step counts.
    """

    name: str
    overrides: tuple[str, ...]
    epochs: int
    wanted: int | None = None


BFLOAT16 = "trainer.precision=bf16-mixed"
APART = ("encoder=concat", "k=4")
WORKLOADS = (
    Workload("base-mlp, addition, k = 2", ("architecture=mlp",), 8, 4_000),
    Workload("ResNet-18, bf16-mixed, addition, k = 2", ("architecture=resnet18", BFLOAT16), 3, 350),
    Workload("LeNet, concat, k = 4", ("architecture=lenet", *APART), 4),
    Workload("ViT, bf16-mixed, concat, k = 4", ("architecture=vit", BFLOAT16, *APART), 3),
)


def random_splits(training: int, validation: int) -> Splits:
    """A data set of Fashion-MNIST's shape."""
    random = torch.Generator().manual_seed(0)

    def samples(count: int) -> Samples:
        return Samples(torch.rand(count, *SHAPE, generator=random), torch.randint(CLASSES, (count,), generator=random))

    task = Classification([str(name) for name in range(CLASSES)])
    return Splits(samples(training), samples(validation), samples(100), task, (0.0,), (1.0,))


class Trained:
    """What ``train`` makes of a command line on a data set, with a base model of random weights.

    Args:
        splits: the data set.
        overrides: the command line.
    """

    def __init__(self, splits: Splits, *overrides: str) -> None:
        words = ["dataset=fashion_mnist", f"batch_groups={GROUPS}", "trainer=gpu", *overrides]
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            experiment = Experiment(resolved(compose("config", words)), splits)
        torch.manual_seed(0)
        self.machine = experiment.machine
        self.optimisation = experiment.coded_model.optimisation
        self.mixed = self.machine.precision != "32-true"
        base = experiment.new_base_network()
        self.module: CodedModule
        self.data: GroupDataModule
        self.module, self.data = experiment.coded_model.phase(base, splits, experiment.device)

    def history(self, epochs: int, acceleration: Acceleration | None = None) -> pd.DataFrame:
        """Train, and return the history: a row an epoch."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "history.csv")
            make = self.machine.trainer(epochs)
            fit(self.module, self.data, make, Path(folder), path, "coded", None, acceleration, show_progress=False)
            return pd.read_csv(path)

    def rate(self, epochs: int) -> float:
        """Steps per second of whole epochs, validation and all, without the first one, in which steps are recorded."""
        seconds = self.history(epochs)["train/seconds"]
        groups = len(self.data.splits.train) // self.module.code.k
        return -(-groups // GROUPS) / float(seconds[1:].median())

    def bare_rates(self) -> tuple[float, float]:
        """Steps per second of the two bare loops, operation by operation and replayed."""
        device, module = torch.device("cuda"), self.module
        module.to(device).train()
        if any(isinstance(part, nn.Conv2d) for part in module.modules()):
            module.to(memory_format=torch.channels_last)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True
        torch.use_deterministic_algorithms(False)
        batch = self._batch(device)
        # The command's optimizer, without its schedule.
        optimizer = self.optimisation.optimizer([one for one in module.parameters() if one.requires_grad])

        def step() -> None:
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16, enabled=self.mixed, cache_enabled=False):
                loss = module.loss(batch)
            loss.backward()
            optimizer.step()

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        eager = rate(step, 50)
        for group in optimizer.param_groups:
            group["capturable"] = True
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return eager, rate(graph.replay, 500)

    def _batch(self, device: torch.device) -> GroupBatch:
        """The first groups, with random predictions."""
        code, splits = self.module.code, self.data.splits
        groups = torch.arange(GROUPS * code.k).view(GROUPS, code.k)
        queries = splits.normalise(splits.train.inputs[groups.flatten()])
        return GroupBatch(
            code.encoder.prepare(queries).unflatten(0, groups.shape).to(device),
            torch.randn(GROUPS, code.k, CLASSES, device=device),
            splits.train.labels[groups].to(device),
            torch.ones(GROUPS, code.k, dtype=torch.bool, device=device),
        )


def rate(step: Callable[[], None], steps: int) -> float:
    """Steps per second, the best of three rounds."""
    best_s = float("inf")
    for _ in range(3):
        torch.cuda.synchronize()
        started_s = time.perf_counter()
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
        best_s = min(best_s, time.perf_counter() - started_s)
    return steps / best_s


def recorded_beside_plain(name: str, *overrides: str) -> Row:
    """The loss after some epochs of recorded steps, with all that a step may contain, and of plain ones."""
    splits = random_splits(2_000, 200)
    losses = []
    for recorded in (True, False):
        steps = ("optimisation.accumulate_grad_batches=2", "optimisation.gradient_clip_val=1.0")
        rows = Trained(splits, *overrides, *steps).history(4, Acceleration(cuda_graphs=recorded, tf32=False))
        losses.append(float(rows["train/loss"].iloc[-1]))
    ours, plain = losses
    holds = abs(ours / plain - 1) < 0.01
    return Row(f"train {name}, recorded: loss of epoch 4", ours, "", plain, "not recorded", "+- 1 %", holds)


def check() -> list[Row]:
    """Train what :data:`WORKLOADS` names."""
    rows = []
    splits = random_splits(TRAINING, VALIDATION)
    for workload in WORKLOADS:
        ours = Trained(splits, *workload.overrides).rate(workload.epochs)
        eager, replayed = Trained(splits, *workload.overrides).bare_rates()
        name, wanted = f"train {workload.name}", workload.wanted
        at_least = "" if wanted is None else f">= {wanted:,}/s"
        holds = None if wanted is None else ours >= wanted
        rows += [
            Row(name, ours, "steps/s", replayed, "replayed step", f">= {SHARE} of it", ours >= SHARE * replayed),
            Row(name, ours, "steps/s", eager, "operation by operation", at_least, holds),
        ]
    perceptron, lenet = WORKLOADS[0], WORKLOADS[2]
    return rows + [recorded_beside_plain(one.name, *one.overrides) for one in (perceptron, lenet)]


if __name__ == "__main__":
    print(table(check()))
