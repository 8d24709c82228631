"""Recorded training steps: they do what steps do that are taken operation by operation."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from parity_exp.coding import AdditionEncoder, Code, ConcatenationEncoder, Decoder, ResidualDecoder, SubtractionDecoder
from parity_exp.data import CropAndFlip, Digits, GroupDataModule, Splits
from parity_exp.models import MLP, predict
from parity_exp.training import (
    Acceleration,
    CodedModule,
    DecodedDivergence,
    Objective,
    Optimisation,
    ParityMSE,
    WeightedSum,
    constant,
    cosine,
    device_optimizer,
    fit,
    one_cycle,
)
from parity_exp.training.step_graphs import WARM_UPS
from tests.training.recorded_operations import ListRecorder

K, GROUPS = 2, 8
ADAM = partial(torch.optim.Adam, lr=1e-2, weight_decay=1e-5, fused=True)
ADAMW = partial(torch.optim.AdamW, lr=1e-2, fused=True)
SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, fused=True)
NESTEROV = partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, fused=True)
PLAIN_ADAM = partial(torch.optim.Adam, lr=1e-2)
RMSPROP = partial(torch.optim.RMSprop, lr=1e-3)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Digits(name="digits", size=8, limit=150).load()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """These networks are so small that they would stay in one piece."""
    monkeypatch.setattr(device_optimizer, "SMALLEST_PIECE", 100)


class RecordedHere(Acceleration):
    """Records on the processor."""

    def __init__(self, recorder: ListRecorder | None) -> None:
        super().__init__()
        vars(self)["_recorder"] = recorder

    def recorder(self, device: torch.device) -> ListRecorder | None:
        recorder: ListRecorder | None = vars(self)["_recorder"]
        return recorder


def train(
    splits: Splits,
    folder: Path,
    recorder: ListRecorder | None,
    optimisation: Optimisation,
    epochs: int = 3,
    objective: Objective | None = None,
    encoder: Callable[..., Any] = AdditionEncoder,
    decoder: Callable[..., Decoder] = SubtractionDecoder,
    network: Callable[..., nn.Module] = MLP,
    groups: int = GROUPS,
    **settings: Any,
) -> CodedModule:
    torch.manual_seed(0)
    base = MLP(splits.query_shape, 10, hidden=(16,))
    code = Code(encoder(K, 1, splits.query_shape), decoder(K, 1, (10,)))
    parity = network(splits.query_shape, 10 + code.decoder.extra_outputs, hidden=(16,))
    module = CodedModule(code, [parity], splits.task, objective or ParityMSE(), optimisation, seed=0)
    cpu = torch.device("cpu")
    made = [predict(base, splits.normalise(samples.inputs), cpu) for samples in (splits.train, splits.validation)]
    data = GroupDataModule(splits, K, code.encoder.prepare, made[0], made[1], groups, seed=0)
    make_trainer = partial(
        Trainer,
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **settings,
    )
    folder.mkdir(exist_ok=True)
    fit(module, data, make_trainer, folder, folder / "history.csv", "coded", None, RecordedHere(recorder))
    return module


def assert_same(folder: Path, module: CodedModule, plain_folder: Path, plain: CodedModule) -> None:
    for (name, ours), theirs in zip(module.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}")
    histories = [pd.read_csv(path / "history.csv").drop(columns="train/seconds") for path in (folder, plain_folder)]
    pd.testing.assert_frame_equal(*histories, rtol=1e-3)


OPTIMISATIONS = {
    "constant rate": Optimisation(ADAM, constant),
    "a schedule of the rate": Optimisation(ADAM, cosine),
    "a schedule of rate and momentum": Optimisation(ADAM, one_cycle),
    "AdamW": Optimisation(ADAMW, one_cycle),
    "SGD with momentum": Optimisation(SGD, one_cycle),
    "SGD with a rate only": Optimisation(NESTEROV, cosine),
    "gradients added up": Optimisation(ADAM, one_cycle, accumulate=3),
    "gradients cut": Optimisation(ADAM, one_cycle, clip_norm=0.01),
    "gradients added up and cut": Optimisation(SGD, one_cycle, accumulate=2, clip_norm=0.01),
    "an optimizer that is not fused": Optimisation(PLAIN_ADAM, one_cycle),
    "another optimizer, gradients added up": Optimisation(RMSPROP, cosine, accumulate=2),
    "Nesterov's momentum on a schedule": Optimisation(NESTEROV, one_cycle),
}


@pytest.mark.parametrize("optimisation", OPTIMISATIONS.values(), ids=OPTIMISATIONS.keys())
def test_recorded_steps_learn_what_plain_ones_do(splits: Splits, tmp_path: Path, optimisation: Optimisation) -> None:
    recorder = ListRecorder()
    module = train(splits, tmp_path / "recorded", recorder, optimisation)
    plain = train(splits, tmp_path / "plain", None, optimisation)
    assert recorder.replays > WARM_UPS
    assert_same(tmp_path / "recorded", module, tmp_path / "plain", plain)


@pytest.mark.parametrize("encoder", [AdditionEncoder, ConcatenationEncoder])
def test_the_best_recipe_is_recorded(splits: Splits, tmp_path: Path, encoder: Callable[..., Any]) -> None:
    objective = WeightedSum({"divergence": DecodedDivergence(4.0), "mse": ParityMSE()}, {"divergence": 1, "mse": 0.02})
    options: dict[str, Any] = {"objective": objective, "decoder": ResidualDecoder, "encoder": encoder}
    recorder = ListRecorder()
    module = train(splits, tmp_path / "recorded", recorder, Optimisation(ADAM, one_cycle), **options)
    plain = train(splits, tmp_path / "plain", None, Optimisation(ADAM, one_cycle), **options)
    assert recorder.recordings == 1
    assert_same(tmp_path / "recorded", module, tmp_path / "plain", plain)


@pytest.mark.parametrize("groups", [1, 67, 500])
def test_epochs_of_full_batches_alone_and_of_one_that_is_not_full(splits: Splits, tmp_path: Path, groups: int) -> None:
    recorder = ListRecorder()
    options: dict[str, Any] = {"groups": groups, "epochs": 2 if groups == 1 else 5}
    module = train(splits, tmp_path / "recorded", recorder, Optimisation(ADAM, cosine), **options)
    plain = train(splits, tmp_path / "plain", None, Optimisation(ADAM, cosine), **options)
    assert recorder.replays > 0
    assert_same(tmp_path / "recorded", module, tmp_path / "plain", plain)


def test_augmented_batches_are_made_anew_for_a_recorded_step(splits: Splits, tmp_path: Path) -> None:
    augmented = Splits(**{**vars(splits), "augmentation": CropAndFlip(padding=1)})
    recorder = ListRecorder()
    module = train(augmented, tmp_path / "recorded", recorder, Optimisation(ADAM, one_cycle))
    plain = train(augmented, tmp_path / "plain", None, Optimisation(ADAM, one_cycle))
    assert recorder.replays > 0
    assert_same(tmp_path / "recorded", module, tmp_path / "plain", plain)


def test_a_resumed_run_goes_on_with_recordings_where_it_stopped(splits: Splits, tmp_path: Path) -> None:
    optimisation = Optimisation(ADAM, one_cycle)
    plain = train(splits, tmp_path / "plain", None, optimisation, epochs=4)
    train(splits, tmp_path / "recorded", ListRecorder(), optimisation, epochs=2)
    # The schedule of a run of four epochs is another from its first step, so what went before has to be of one.
    module = train(splits, tmp_path / "straight", ListRecorder(), optimisation, epochs=4)
    assert_same(tmp_path / "straight", module, tmp_path / "plain", plain)
    resumed = train(splits, tmp_path / "recorded", ListRecorder(), optimisation, epochs=4)
    stopped = train(splits, tmp_path / "stopped", None, optimisation, epochs=2)
    assert stopped is not None
    reference = train(splits, tmp_path / "stopped", None, optimisation, epochs=4)
    assert_same(tmp_path / "recorded", resumed, tmp_path / "stopped", reference)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_what_cannot_be_recorded_goes_on_without_and_says_so_once(
    splits: Splits, tmp_path: Path, accumulate: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Waits(MLP):
        def forward(self, queries: Tensor) -> Tensor:
            outputs = super().forward(queries)
            if self.training:
                float(outputs.sum())
            return outputs

    optimisation = Optimisation(ADAM, one_cycle, accumulate=accumulate)
    recorder = ListRecorder()
    with caplog.at_level(logging.WARNING):
        module = train(splits, tmp_path / "recorded", recorder, optimisation, network=Waits)
    assert [record.message for record in caplog.records if "cannot be recorded" in record.message] == [
        "training steps cannot be recorded as CUDA graphs: aten::_local_scalar_dense waits for the device; "
        "training goes on, operation by operation (acceleration.cuda_graphs=false asks for that)"
    ]
    assert recorder.replays == 0
    plain = train(splits, tmp_path / "plain", None, optimisation, network=Waits)
    assert_same(tmp_path / "recorded", module, tmp_path / "plain", plain)


def momentum_by_hand(optimizer: torch.optim.Optimizer, total_steps: int) -> LambdaLR:
    """A schedule that sets the momentum itself, with nothing to tell it by."""

    class ByHand(LambdaLR):
        def step(self, epoch: int | None = None) -> None:
            super().step(epoch)
            for group in self.optimizer.param_groups:
                group["betas"] = (0.9 if self.last_epoch < 12 else 0.8, 0.999)

    return ByHand(optimizer, lambda _: 1.0)


def test_a_momentum_that_varies_unannounced_ends_recording(
    splits: Splits, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = ListRecorder()
    with caplog.at_level(logging.WARNING):
        module = train(splits, tmp_path / "recorded", recorder, Optimisation(ADAM, momentum_by_hand))
    assert 0 < recorder.replays < 27
    assert sum("the schedule varies the momentum" in record.message for record in caplog.records) == 1
    plain = train(splits, tmp_path / "plain", None, Optimisation(ADAM, momentum_by_hand))
    assert_same(tmp_path / "recorded", module, tmp_path / "plain", plain)


def test_states_of_a_checkpoint_take_the_layout_of_their_parameters(splits: Splits, tmp_path: Path) -> None:
    module = train(splits, tmp_path, None, Optimisation(ADAM, constant), epochs=1)
    (optimizer,) = (module.trainer.optimizers,)
    weight = module.parity_models[0].layers[1].weight
    state = optimizer[0].state[weight]
    before = state["exp_avg"].clone()
    state["exp_avg"] = before.t().contiguous().t()
    module.on_train_start()
    assert state["exp_avg"].stride() == weight.stride()
    torch.testing.assert_close(state["exp_avg"], before)
