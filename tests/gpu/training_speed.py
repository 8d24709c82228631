"""Steps per second of training on a GPU, beside bare loops that take the very same step.

Two baselines: one starts every operation of a step from Python, as most training loops do; the other has one step
recorded as a CUDA graph on one batch, and replays it, which is all that the hardware can do with these operations.
Both are without Lightning, schedules, histories, checkpoints, validation, and without choosing a batch.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pytorch_lightning import Trainer
from torch import nn

from parity_exp.coding import AdditionEncoder, Code, RandomSigns, ResidualDecoder
from parity_exp.data import GroupBatch, GroupDataModule, Samples, Splits
from parity_exp.models import MLP
from parity_exp.models.torchvision_networks import ResNet
from parity_exp.tasks import Classification
from parity_exp.training import (
    Acceleration,
    CodedModule,
    DecodedDivergence,
    Optimisation,
    ParityMSE,
    WeightedSum,
    fit,
    one_cycle,
)
from tests.gpu.rows import Row

SHAPE, CLASSES, K, GROUPS = (1, 28, 28), 10, 2, 64
TRAINING, VALIDATION = 55_000, 5_000
OPTIMIZER = partial(torch.optim.Adam, lr=1e-3, weight_decay=1e-5, fused=True)
SHARE = 0.7
"""Of the replayed step's rate, what training as a whole is to reach."""


def random_splits(training: int, validation: int) -> Splits:
    """A data set of Fashion-MNIST's shape."""
    random = torch.Generator().manual_seed(0)

    def samples(count: int) -> Samples:
        return Samples(torch.rand(count, *SHAPE, generator=random), torch.randint(CLASSES, (count,), generator=random))

    task = Classification([str(name) for name in range(CLASSES)])
    return Splits(samples(training), samples(validation), samples(100), task, (0.0,), (1.0,))


def best_recipe(splits: Splits, network: Callable[[int], nn.Module], signs: bool, **steps: Any) -> CodedModule:
    """What ``recipe=best`` trains, with an encoder that adds."""
    torch.manual_seed(0)
    encoder = AdditionEncoder(K, 1, SHAPE, position_code=RandomSigns(convolutional=not signs))
    code = Code(encoder, ResidualDecoder(K, 1, (CLASSES,)))
    objective = WeightedSum({"divergence": DecodedDivergence(4.0), "mse": ParityMSE()}, {"divergence": 1, "mse": 0.02})
    optimisation = Optimisation(OPTIMIZER, partial(one_cycle, max_lr=4e-3), **steps)
    parity = network(CLASSES + code.decoder.extra_outputs)
    return CodedModule(code, [parity], splits.task, objective, optimisation, seed=0)


def perceptron(outputs: int) -> nn.Module:
    return MLP(SHAPE, outputs, hidden=(200, 100))


def resnet18(outputs: int) -> nn.Module:
    return ResNet(SHAPE, outputs, depth=18)


WORKLOADS: dict[str, tuple[Callable[[int], nn.Module], str, bool, int, float]] = {
    "base-mlp": (perceptron, "32-true", True, 8, 4_000),
    "ResNet-18, bf16-mixed": (resnet18, "bf16-mixed", False, 3, 350),
}
"""For each: the network, the trainer's precision, whether queries get signs, epochs, and the wanted steps/s."""


def history(
    module: CodedModule, splits: Splits, precision: str, epochs: int, acceleration: Acceleration | None = None
) -> pd.DataFrame:
    """Train, and return the history: a row an epoch."""
    predictions = torch.randn(len(splits.train), CLASSES, generator=torch.Generator().manual_seed(1))
    data = GroupDataModule(
        splits, K, module.code.encoder.prepare, predictions, predictions[: len(splits.validation)], GROUPS, seed=0
    )
    make_trainer = partial(
        Trainer,
        accelerator="gpu",
        devices=1,
        precision=precision,
        max_epochs=epochs,
        deterministic="warn",
        benchmark=True,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.csv")
        fit(module, data, make_trainer, Path(folder), path, "coded", None, acceleration)
        return pd.read_csv(path)


def trained_rate(module: CodedModule, splits: Splits, precision: str, epochs: int) -> float:
    """Steps per second of whole epochs, validation and all, without the first one, in which steps are recorded."""
    seconds = history(module, splits, precision, epochs)["train/seconds"]
    return -(-(len(splits.train) // K) // GROUPS) / float(seconds[1:].median())


def recorded_beside_plain() -> Row:
    """The loss after some epochs of recorded steps, with all that a step may contain, and of plain ones."""
    splits = random_splits(2_000, 200)
    losses = []
    for recorded in (True, False):
        module = best_recipe(splits, perceptron, True, accumulate=2, clip_norm=1.0)
        rows = history(module, splits, "32-true", 4, Acceleration(cuda_graphs=recorded, tf32=False))
        losses.append(float(rows["train/loss"].iloc[-1]))
    ours, plain = losses
    holds = abs(ours / plain - 1) < 0.01
    return Row("train, recorded: loss of epoch 4", ours, "", plain, "not recorded", "+- 1 %", holds)


def bare_rates(module: CodedModule, splits: Splits, precision: str) -> tuple[float, float]:
    """Steps per second of the two bare loops, operation by operation and replayed."""
    device = torch.device("cuda")
    module.to(device).train()
    if precision != "32-true":
        module.to(memory_format=torch.channels_last)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    torch.use_deterministic_algorithms(False)
    groups = torch.arange(GROUPS * K).view(GROUPS, K)
    batch = GroupBatch(
        module.code.encoder.prepare(splits.train.inputs[groups.flatten()]).unflatten(0, groups.shape).to(device),
        torch.randn(GROUPS, K, CLASSES, device=device),
        splits.train.labels[groups].to(device),
        torch.ones(GROUPS, K, dtype=torch.bool, device=device),
    )
    optimizer = OPTIMIZER(module.parameters())
    mixed = precision != "32-true"

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=mixed, cache_enabled=False):
            loss = module.loss(batch)
        loss.backward()
        optimizer.step()

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    eager = rate(step, 100)
    for group in optimizer.param_groups:
        group["capturable"] = True
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return eager, rate(graph.replay, 1_000)


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


def check() -> list[Row]:
    """Train what :data:`WORKLOADS` names."""
    rows = []
    splits = random_splits(TRAINING, VALIDATION)
    for name, (network, precision, signs, epochs, wanted) in WORKLOADS.items():
        ours = trained_rate(best_recipe(splits, network, signs), splits, precision, epochs)
        eager, replayed = bare_rates(best_recipe(splits, network, signs), splits, precision)
        unit = "steps/s"
        rows += [
            Row(f"train {name}", ours, unit, replayed, "replayed step", f">= {SHARE} of it", ours >= SHARE * replayed),
            Row(f"train {name}", ours, unit, eager, "operation by operation", f">= {wanted:,.0f}/s", ours >= wanted),
        ]
    return [*rows, recorded_beside_plain()]
