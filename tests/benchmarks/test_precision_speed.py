"""Steps per second of ResNet-18 in bfloat16 (mixed) against float32, through the same training path. Run with::

    pytest tests/benchmarks/test_precision_speed.py --benchmark-enable -s

Nothing is asserted about time: which is faster depends on whether the processor or GPU computes in bfloat16.
"""

import time
from functools import partial
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from pytorch_lightning import Trainer

from parity_exp.coding import AdditionEncoder, Code, SubtractionDecoder
from parity_exp.data import GroupDataModule, Samples, Splits
from parity_exp.models import ResNet
from parity_exp.tasks import Classification
from parity_exp.training import CodedModule, Optimisation, ParityMSE, constant, fit

SHAPE, CLASSES, K, GROUPS, STEPS = (1, 28, 28), 10, 2, 32, 10


def train(precision: str, steps: int, folder: Path) -> float:
    """Train for an epoch of some steps; return its seconds."""
    random = torch.Generator().manual_seed(0)

    def samples(count: int) -> Samples:
        return Samples(torch.rand(count, *SHAPE, generator=random), torch.zeros(count, dtype=torch.long))

    splits = Splits(
        samples(steps * GROUPS * K), samples(2 * K), samples(K), Classification(["0"] * CLASSES), (0.0,), (1.0,)
    )
    code = Code(AdditionEncoder(K, 1, SHAPE), SubtractionDecoder(K, 1, (CLASSES,)))
    module = CodedModule(
        code, [ResNet(SHAPE, CLASSES)], CLASSES, ParityMSE(), Optimisation(torch.optim.Adam, constant), seed=0
    )
    predictions = torch.randn(steps * GROUPS * K, CLASSES, generator=random)
    data = GroupDataModule(splits, K, code.encoder.prepare, predictions, predictions[: 2 * K], GROUPS, seed=0)
    make_trainer = partial(
        Trainer, precision=precision, max_epochs=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    started_s = time.perf_counter()
    (folder / "last.ckpt").unlink(missing_ok=True)
    fit(module, data, make_trainer, folder, folder / "history.csv", "coded")
    return time.perf_counter() - started_s


@pytest.mark.benchmark(group=f"ResNet-18, {STEPS} steps of {GROUPS} groups")
def test_bfloat16(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    steps, rounds = (STEPS, 5) if benchmark.enabled else (1, 1)
    exact_s: list[float] = []
    # Each round has a float32 one right before it, since a shared machine's speed drifts.
    benchmark.pedantic(
        partial(train, "bf16-mixed", steps, tmp_path),
        setup=lambda: exact_s.append(train("32-true", steps, tmp_path)),
        rounds=rounds,
    )
    if benchmark.stats:
        ratio = sorted(exact_s)[len(exact_s) // 2] / benchmark.stats.stats.median
        benchmark.extra_info["steps per second, ratio to float32"] = ratio
        print(f"\nsteps per second in bfloat16, ratio to float32: {ratio:.2f}")
