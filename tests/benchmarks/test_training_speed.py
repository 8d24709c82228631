"""Steps per second of the Lightning path against a bare PyTorch loop that does the same work.

Both train base-mlp's parity model on tensors of Fashion-MNIST's size (addition, k = 2, 64 groups a step, Adam) with
the same groups drawn each epoch. Run with::

    pytest tests/benchmarks/test_training_speed.py --benchmark-enable -s

and read the ratio that it prints. Nothing is asserted about time.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture
from pytorch_lightning import Trainer

from parity_exp.coding import AdditionEncoder, Code, SubtractionDecoder
from parity_exp.data import GroupDataModule, Samples, Splits, coding_groups
from parity_exp.models import MLP
from parity_exp.process.quiet import quiet_libraries
from parity_exp.tasks import Classification
from parity_exp.training import CodedModule, Optimisation, ParityMSE, constant, fit
from parity_exp.training.fit import NVML_CHECK

SAMPLES, K, GROUPS, EPOCHS = 55_000, 2, 64, 5
SHAPE, CLASSES = (1, 28, 28), 10
TASK = Classification([str(name) for name in range(CLASSES)])
OPTIMIZER = partial(torch.optim.Adam, lr=1e-3, weight_decay=1e-5, fused=True)


@pytest.fixture(scope="module")
def splits() -> Splits:
    random = torch.Generator().manual_seed(0)

    def samples(count: int) -> Samples:
        inputs = torch.rand(count, *SHAPE, generator=random)
        return Samples(inputs, torch.randint(CLASSES, (count,), generator=random))

    return Splits(samples(SAMPLES), samples(100), samples(100), TASK, (0.0,), (1.0,))


@pytest.fixture(scope="module")
def predictions() -> torch.Tensor:
    return torch.randn(SAMPLES, CLASSES, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def epochs(benchmark: BenchmarkFixture) -> int:
    """One where nothing is measured, only that both paths work."""
    return EPOCHS if benchmark.enabled else 1


@pytest.fixture
def bare_loop(
    splits: Splits, predictions: torch.Tensor, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], float]:
    # As in a process without Lightning, whose import slows every optimizer step down: see training/fit.py.
    monkeypatch.delenv(NVML_CHECK, raising=False)

    def train() -> float:
        network = MLP(SHAPE, CLASSES)
        optimizer = OPTIMIZER(network.parameters())
        inputs = splits.train.inputs
        total = torch.zeros(())
        for epoch in range(epochs):
            for groups in coding_groups(SAMPLES, K, seed=0, epoch=epoch).split(GROUPS):
                parity_queries = inputs[groups].sum(1)
                loss = F.mse_loss(network(parity_queries), predictions[groups].sum(1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.detach()
        return float(total)

    return train


@pytest.mark.benchmark(group=f"parity training, {EPOCHS} epochs of 430 steps")
def test_bare_loop(benchmark: BenchmarkFixture, bare_loop: Callable[[], float]) -> None:
    assert benchmark.pedantic(bare_loop, rounds=5 if benchmark.enabled else 1, warmup_rounds=int(benchmark.enabled)) > 0


@pytest.mark.benchmark(group=f"parity training, {EPOCHS} epochs of 430 steps")
def test_lightning_path(
    benchmark: BenchmarkFixture,
    bare_loop: Callable[[], float],
    splits: Splits,
    predictions: torch.Tensor,
    epochs: int,
    tmp_path: Path,
) -> None:
    quiet_libraries()
    bare_s: list[float] = []

    def train_bare() -> None:
        started_s = time.perf_counter()
        bare_loop()
        bare_s.append(time.perf_counter() - started_s)

    def train() -> int:
        code = Code(AdditionEncoder(K, 1, SHAPE), SubtractionDecoder(K, 1, (CLASSES,)))
        optimisation = Optimisation(OPTIMIZER, constant)
        module = CodedModule(code, [MLP(SHAPE, CLASSES)], TASK, ParityMSE(), optimisation, seed=0)
        data = GroupDataModule(splits, K, code.encoder.prepare, predictions, predictions[:100], GROUPS, seed=0)
        make_trainer = partial(
            Trainer,
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        (tmp_path / "last.ckpt").unlink(missing_ok=True)
        return fit(module, data, make_trainer, tmp_path, tmp_path / "history.csv", "coded").epochs

    # On a shared machine speed drifts within a minute, so each round has a bare loop right before it to compare to.
    assert benchmark.pedantic(train, setup=train_bare, rounds=5 if benchmark.enabled else 1) == epochs
    if benchmark.stats:
        ratio = statistics.median(bare_s) / benchmark.stats.stats.median
        benchmark.extra_info["steps per second, ratio to the bare loop"] = ratio
        print(f"\nsteps per second, ratio to the bare loop: {ratio:.2f}")
