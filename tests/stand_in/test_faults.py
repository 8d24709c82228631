"""Faults that only a device shows are found: each is planted, and a run with it ends with torch's error."""

import copy
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from parity_exp.coding import AdditionEncoder, BerrutCode, Code, Decoder, Encoder, LossPatterns, ResidualDecoder
from parity_exp.data import Samples, Splits
from parity_exp.data.dataset import as_floats
from parity_exp.devices.placement import device_of
from parity_exp.disturbances.timeline import Timeline
from parity_exp.errors import UserError
from parity_exp.models import MLP, predict
from parity_exp.serving.pool import ServedModel
from parity_exp.serving.pools import LocalPool
from parity_exp.tasks import Classification, Task
from parity_exp.training import Evaluator, ParityMSE, code_costs
from parity_exp.training.evaluation import Scores
from tests.conftest import Run
from tests.data.files import write_image_folder
from tests.slow_cases import slow_but
from tests.stand_in.device import device

THERE = device(0)
BRIEF = (
    "tracker=none", "trainer.accelerator=pretend", "trainer.max_epochs=1", "base.max_epochs=1",
    "architecture.hidden=[8]",
)  # fmt: skip
FEW = ("dataset.limit=80",)

Patch = pytest.MonkeyPatch


def left_behind(module: nn.Module, device: object) -> nn.Module:
    return copy.deepcopy(module).eval()


def networks_stay_in_evaluation(patch: Patch) -> None:
    patch.setattr("parity_exp.training.evaluation.on_device", left_behind)


def networks_stay_in_predictions(patch: Patch) -> None:
    patch.setattr("parity_exp.models.prediction.on_device", left_behind)


def base_stays_in_evaluation_of_whole_groups(patch: Patch) -> None:
    patch.setattr("parity_exp.training.non_systematic_evaluation.on_device", left_behind)


def masks_of_training_are_no_buffers(patch: Patch) -> None:
    def keep(module: nn.Module, name: str, tensor: Tensor, persistent: bool = True) -> None:
        object.__setattr__(module, name, tensor)

    patch.setattr(LossPatterns, "register_buffer", keep)


def generators_are_no_buffers(patch: Patch) -> None:
    def keep(module: nn.Module, name: str, tensor: Tensor, persistent: bool = True) -> None:
        object.__setattr__(module, name, tensor)

    patch.setattr(Encoder, "register_buffer", keep)


def a_mask_is_made_on_the_cpu(patch: Patch) -> None:
    decode = Decoder.decode

    def masked(self: Decoder, predictions: Tensor, available: Tensor, *others: Tensor) -> Tensor:
        return decode(self, predictions, torch.tensor(available.tolist()), *others)

    patch.setattr(Decoder, "decode", masked)


def a_mask_of_whole_groups_is_made_on_the_cpu(patch: Patch) -> None:
    def wrong(self: BerrutCode, answers: Tensor, answered: Tensor) -> Tensor:
        return torch.zeros(answered.shape, dtype=torch.bool)

    patch.setattr(BerrutCode, "wrong", wrong)


def labels_stay(patch: Patch) -> None:
    move = Samples.to
    patch.setattr(Samples, "to", lambda self, device: Samples(move(self, device).inputs, self.labels, self.digest))


def means_are_made_on_the_cpu(patch: Patch) -> None:
    def normalise(self: Splits, inputs: Tensor) -> Tensor:
        return as_floats(inputs) - torch.tensor(self.mean).view(-1, 1, 1)

    patch.setattr(Splits, "normalise", normalise)


def an_objective_weighs_on_the_cpu(patch: Patch) -> None:
    def loss(self: ParityMSE, batch: Any) -> Tensor:
        return ((batch.linear_parities - batch.targets).square() * torch.ones(batch.targets.shape[-1])).mean()

    patch.setattr(ParityMSE, "__call__", loss)


def an_objective_asks_numpy(patch: Patch) -> None:
    def loss(self: ParityMSE, batch: Any) -> Tensor:
        return (batch.linear_parities - float(batch.targets.numpy().mean())).square().mean()

    patch.setattr(ParityMSE, "__call__", loss)


def scores_are_added_up_on_the_cpu(patch: Patch) -> None:
    make = Scores.__init__

    def start(self: Scores, task: Task, device: torch.device) -> None:
        make(self, task, torch.device("cpu"))

    patch.setattr(Scores, "__init__", start)


PARM = ("recipe=parm",)
FAULTS: list[tuple[Callable[[Patch], None], tuple[str, ...]]] = [
    (networks_stay_in_evaluation, (*FEW, *PARM)),
    (networks_stay_in_predictions, (*FEW, *PARM)),
    (base_stays_in_evaluation_of_whole_groups, (*FEW, "code=berrut")),
    (masks_of_training_are_no_buffers, (*FEW, "recipe=best", "r=2", "k=3")),
    (generators_are_no_buffers, (*FEW, *PARM, "r=2", "k=3")),
    (a_mask_is_made_on_the_cpu, (*FEW, *PARM)),
    (a_mask_of_whole_groups_is_made_on_the_cpu, (*FEW, "code=berrut")),
    (labels_stay, (*FEW, *PARM)),
    (means_are_made_on_the_cpu, ("dataset=image_folder", "dataset.root=root", "dataset.size=32", "base.batch_size=4")),
    (an_objective_weighs_on_the_cpu, (*FEW, *PARM)),
    (an_objective_asks_numpy, (*FEW, *PARM)),
    (scores_are_added_up_on_the_cpu, (*FEW, *PARM)),
]


@pytest.mark.parametrize(("plant", "overrides"), slow_but([FAULTS[0]], FAULTS, lambda fault: fault[0].__name__))
def test_a_planted_fault_ends_the_run_here_and_not_on_the_cpu(
    run: Run,
    folder: Path,
    monkeypatch: Patch,
    capsys: pytest.CaptureFixture[str],
    plant: Callable[[Patch], None],
    overrides: tuple[str, ...],
) -> None:
    write_image_folder(folder / "root")
    plant(monkeypatch)
    try:
        assert run("train", *BRIEF, *overrides) != 0
        said = capsys.readouterr().err
    except (RuntimeError, TypeError) as error:
        said = str(error)
    assert re.search("same device|indices should be|device type tensor to numpy", said), said


@pytest.mark.slow
def test_an_instance_whose_model_leaves_a_tensor_behind_does_not_start() -> None:
    pool = LocalPool(devices=["pretend:1"])
    try:
        with pytest.raises(UserError, match=r"instance 0 \(model on pretend:1\) cannot start: .*pretend:1 and cpu"):
            pool.start({"model": ServedModel(Forgetful, (2,), (2,))}, [["model"]], 1, [Timeline()])
    finally:
        pool.close()


class Forgetful(nn.Module):
    """Has a tensor that is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.ones(2)

    def forward(self, queries: Tensor) -> Tensor:
        return queries + self.shift


def test_modules_on_a_device_stay_there_whatever_is_measured() -> None:
    code = Code(AdditionEncoder(2, 1, (1, 4, 4)), ResidualDecoder(2, 1, (3,), extra_outputs=2)).to(THERE)
    base, parity = MLP((1, 4, 4), 3, [4]).to(THERE), MLP((1, 4, 4), 5, [4]).to(THERE)
    samples, cpu = Samples(torch.rand(10, 1, 4, 4), torch.arange(10) % 3), torch.device("cpu")
    weights = [id(weight) for module in (code, base, parity) for weight in module.parameters()]
    uses: list[Callable[[], object]] = [
        partial(code_costs, code, base, [parity]),
        partial(predict, base, samples.inputs, cpu),
        partial(Evaluator(code, [parity], cpu).examples, samples, torch.rand(10, 3), 0, 2),
        partial(
            Evaluator(code, [parity], THERE).evaluate, samples, torch.rand(10, 3), Classification("abc"), [0.1], seed=0
        ),
    ]
    for use in uses:
        use()
        assert {device_of(module) for module in (code.encoder, code.decoder, base, parity)} == {THERE}
        assert all(module.training for module in (code, base, parity))
    assert [id(weight) for module in (code, base, parity) for weight in module.parameters()] == weights
