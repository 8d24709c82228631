"""LightningModules that train the base model and the coded model.

Both keep what happens in a step to the least: nothing is logged per step; losses stay on the device and are read
once an epoch.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MeanMetric

from parity_exp.coding import Code, LossPatterns, all_loss_patterns, joint_loss_patterns
from parity_exp.data import GroupBatch, LabelledBatch
from parity_exp.data.groups import Runs, Steps, epoch_generator
from parity_exp.tasks import Task
from parity_exp.training.coded_batch import CodedBatch
from parity_exp.training.device_optimizer import CannotRecordError, device_optimizer
from parity_exp.training.objectives import Objective
from parity_exp.training.step_graphs import Recorder, StepGraphs

log = logging.getLogger(__name__)

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
ScheduleFactory = Callable[[Optimizer, int], LRScheduler | None]

PATTERNS_IN_TRAINING = 64
"""At most this many loss patterns of each size are simulated in a step; larger k and r are sampled."""

DROPOUT = 2
"""The stream of an epoch's random numbers that networks draw from."""

TEMPERATURE = 2.0
"""Of distillation, as objective=best has it where parity models are networks like these."""

SCHEDULE_POSITION = ("last_epoch", "_step_count", "_last_lr")
"""What of a scheduler's state says how far it has come; the rest says how far it is to go."""


@dataclass(frozen=True)
class Optimisation:
    """How parameters are moved.

    Attributes:
        optimizer: makes the optimizer from the trainable parameters.
        schedule: makes the learning-rate scheduler from the optimizer and the number of its steps.
        accumulate: batches whose gradients are added up for one step of the optimizer.
        clip_norm: gradients are scaled down to this norm; None leaves them.
    """

    optimizer: OptimizerFactory
    schedule: ScheduleFactory
    accumulate: int = 1
    clip_norm: float | None = None


class TrainedModule(LightningModule):
    """What both modules share: optimisation, the mean loss of an epoch, and where validation quality is found.

    Lightning hands over training batches in runs and leaves the steps to this class ("manual optimization"): what
    Lightning does around a batch takes longer than a step of a small network.

    Args:
        optimisation: how parameters are moved.
        seed: seed of what networks draw at random while training.

    Attributes:
        monitor: the metric by which the best epoch is chosen; the greatest is best.
        recorder: records steps and replays them; None: each is taken operation by operation.
    """

    monitor: str

    def __init__(self, optimisation: Optimisation, seed: int) -> None:
        super().__init__()
        self.recorder: Recorder | None = None
        self._graphs: StepGraphs | None = None
        self.automatic_optimization = False
        self._optimisation = optimisation
        self._seed = seed
        self._losses: list[Tensor] = []
        self._accumulated = 0

    def loss(self, batch: Any) -> Tensor:
        """The loss of a batch, a scalar."""
        raise NotImplementedError

    def on_train_start(self) -> None:
        self._lay_out_states()
        self._graphs = None if self.recorder is None else self._step_graphs(self.recorder)

    def _lay_out_states(self) -> None:
        """Give what optimizers remember the layout of its parameter: fused ones go through both in memory's order.

        Another layout comes from a checkpoint that was written on another device.
        """
        for optimizer in self.trainer.optimizers:
            for parameter, state in optimizer.state.items():
                for name, value in state.items():
                    if value.shape == parameter.shape and value.stride() != parameter.stride():
                        state[name] = torch.empty_like(parameter).copy_(value)

    def _step_graphs(self, recorder: Recorder) -> StepGraphs | None:
        """What takes steps by recordings of them; None, with a word to the user, where steps cannot be recorded."""
        if not self._steps_are_plain:
            # Several processes wait for each other within a step, and a scaled loss for the processor's decision.
            self._explain_eager_steps("steps of several processes, or with a scaled loss (16-mixed), are not recorded")
            return None
        optimizer, scheduler = self.optimizers(use_pl_optimizer=False), self.lr_schedulers()
        assert isinstance(optimizer, Optimizer) and not isinstance(scheduler, list | ReduceLROnPlateau)
        norm = self._optimisation.clip_norm
        clip = None if norm is None else lambda: self.clip_gradients(optimizer, norm, "norm")
        runs = self.trainer.train_dataloader
        assert isinstance(runs, Runs)
        moved = device_optimizer(optimizer, scheduler, clip, len(runs.batches), self.device)
        return StepGraphs(recorder, self.loss, moved, self._optimisation.accumulate, self.device)

    def forget_recordings(self) -> None:
        """Give back the memory of recorded steps."""
        self._graphs = self.recorder = None

    def _explain_eager_steps(self, reason: str) -> None:
        log.warning(
            "%s; training goes on, operation by operation (acceleration.cuda_graphs=false asks for that)", reason
        )

    def on_train_epoch_start(self) -> None:
        # An epoch's random numbers depend on seed and epoch alone, so a resumed run repeats them.
        random = epoch_generator(self._seed + self.global_rank, self.current_epoch, DROPOUT)
        torch.manual_seed(random.initial_seed())
        self._losses.clear()
        self._accumulated = 0
        if self._graphs is not None:
            self._graphs.begin_epoch()

    def training_step(self, steps: Steps, _: int) -> None:
        if self._graphs is not None:
            try:
                self._graphs.take(steps)
                return
            except CannotRecordError as error:
                self._explain_eager_steps(f"training steps cannot be recorded as CUDA graphs: {error}")
                self._leave_graphs(self._graphs)
        self._take(steps)

    def _leave_graphs(self, graphs: StepGraphs) -> None:
        """Go on without, in the middle of an epoch."""
        loss_sum, count = graphs.losses
        self._losses.extend([(loss_sum / count).float()] * count if count else [])
        self._accumulated = graphs.accumulated
        if not self._accumulated:
            self.zero_grad()
        self._graphs = None

    def _take(self, steps: Steps) -> None:
        """Take training steps operation by operation."""
        plain = self._steps_are_plain
        optimizer, scheduler = self.optimizers(use_pl_optimizer=not plain), self.lr_schedulers()
        backward = Tensor.backward if plain else self.manual_backward
        accumulate = self._optimisation.accumulate
        batches = iter(steps)
        batch = next(batches)
        while batch is not None:
            following = next(batches, None)
            loss = self.loss(batch)
            self._losses.append(loss.detach())
            backward(loss / accumulate if accumulate > 1 else loss)
            self._accumulated += 1
            if self._accumulated == accumulate or (steps.end_epoch and following is None):
                self._step(optimizer, scheduler)
            batch = following

    @property
    def _steps_are_plain(self) -> bool:
        """Whether backward pass and step need nothing from Lightning: one process, and no scaling of the loss.

        The hooks that it calls around each of them, for callbacks that we have none of, take a tenth of a small step.
        """
        alone = isinstance(self.trainer.strategy, SingleDeviceStrategy)
        return alone and getattr(self.trainer.precision_plugin, "scaler", None) is None

    def _step(self, optimizer: Any, scheduler: Any) -> None:
        if self._optimisation.clip_norm is not None:
            self.clip_gradients(optimizer, self._optimisation.clip_norm, "norm")
        optimizer.step()
        optimizer.zero_grad()
        if scheduler is not None:
            scheduler.step()
        self._accumulated = 0

    @property
    def batches_in_epoch(self) -> int:
        """Batches of the epoch so far, in this process."""
        return len(self._losses) if self._graphs is None else self._graphs.losses[1]

    def mean_train_loss(self) -> float:
        """The mean loss of the epoch's batches so far, over all processes. Every process has to call it."""
        if self._graphs is not None:
            loss_sum, count = self._graphs.losses
            return float(loss_sum) / count
        mean = torch.stack(self._losses).mean()
        return float(self.trainer.strategy.reduce(mean, reduce_op="mean"))

    def configure_optimizers(self) -> Any:
        optimizer = self._optimisation.optimizer(
            [parameter for parameter in self.parameters() if parameter.requires_grad]
        )
        scheduler = self._optimisation.schedule(optimizer, self._total_steps())
        return optimizer if scheduler is None else {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Where a resumed run shall be longer or shorter, the schedule made for it counts, at the step that was reached.
        checkpoint["lr_schedulers"] = [
            {name: state[name] for name in SCHEDULE_POSITION if name in state} for state in checkpoint["lr_schedulers"]
        ]

    def _total_steps(self) -> int:
        """Steps of the optimizer in the whole run."""
        self.trainer.fit_loop.setup_data()
        runs = self.trainer.train_dataloader
        assert isinstance(runs, Runs) and self.trainer.max_epochs is not None
        return self.trainer.max_epochs * -(-len(runs.batches) // self._optimisation.accumulate)

    def parts(self) -> dict[str, str]:
        """Prefix of a part's weights in the module's state_dict, by the name of the part's checkpoint."""
        raise NotImplementedError


class BaseModule(TrainedModule):
    """Trains a base model on labels.

    Args:
        network: what is trained.
        task: says with which loss, and how good it is.
        optimisation: how parameters are moved.
        seed: seed of what networks draw at random while training.
        teacher: the trained base model, which a small model imitates; None: nobody.
        distillation: share of the loss that is the divergence from the teacher's predictions, at
            :data:`TEMPERATURE`; the rest is that of the labels.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        optimisation: Optimisation,
        seed: int,
        teacher: nn.Module | None = None,
        distillation: float = 0.0,
    ) -> None:
        super().__init__(optimisation, seed)
        self.network = network
        self.task = task
        self.distillation = 0.0 if teacher is None else distillation
        self._teacher = [] if teacher is None else [copy.deepcopy(teacher)]  # in a list: not a part of what is trained
        self.monitor = f"val/{task.learned_by or task.quality}"
        self.quality = MeanMetric("disable")

    def on_fit_start(self) -> None:
        for teacher in self._teacher:
            teacher.to(self.device).eval().requires_grad_(False)

    def loss(self, batch: LabelledBatch) -> Tensor:
        outputs, share = self.network(batch.inputs), self.distillation
        if not share:
            return self.task.base_loss(outputs, batch.labels)
        divergence = self.task.divergence(outputs, self._teacher[0](batch.inputs), TEMPERATURE)
        if share == 1:
            return divergence
        return share * divergence + (1 - share) * self.task.base_loss(outputs, batch.labels)

    def validation_step(self, batch: LabelledBatch, _: int) -> None:
        self.quality.update(self.task.learned(self.network(batch.inputs), batch.labels))

    def on_validation_epoch_end(self) -> None:
        self.log(self.monitor, self.quality.compute(), rank_zero_only=True)
        self.quality.reset()

    def parts(self) -> dict[str, str]:
        return {"base": "network."}


class CodedModule(TrainedModule):
    """Trains whichever of encoder, parity models and decoder are trainable; the others keep still.

    Args:
        code: encoder and decoder.
        parity_models: r networks.
        task: says how good reconstructions are.
        objective: what to minimise.
        optimisation: how parameters are moved.
        seed: seed of what networks draw at random while training.
        frozen: modules, of those above, that are not trained.
    """

    def __init__(
        self,
        code: Code,
        parity_models: Sequence[nn.Module],
        task: Task,
        objective: Objective,
        optimisation: Optimisation,
        seed: int,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__(optimisation, seed)
        self.code = code
        self.parity_models = nn.ModuleList(parity_models)
        self.task = task
        self.monitor = f"val/reconstruction_{task.quality}"
        self.objective = objective
        for module in frozen:
            # Lightning keeps the mode it finds; evaluation mode also stops batch norm from adapting.
            module.requires_grad_(False).eval()
        self.losses = LossPatterns.of_predictions(all_loss_patterns(code.k, code.r, PATTERNS_IN_TRAINING, seed), code.r)
        self.training_losses = _losses_to_learn(code, seed)
        self.degraded = MeanMetric("disable")
        self.reconstruction = MeanMetric("disable")

    def forward(self, prepared: Tensor) -> Tensor:
        """Encode prepared groups and run the parity models, ``(B, k, *prepared) -> (B, r, *out)``."""
        queries = self.code.encoder(prepared)
        outputs = [model(queries[:, row]) for row, model in enumerate(self.parity_models)]
        return outputs[0].unsqueeze(1) if self.code.r == 1 else torch.stack(outputs, dim=1)

    def loss(self, batch: GroupBatch) -> Tensor:
        return self.objective(
            CodedBatch(
                self.code, batch.predictions, batch.labels, self(batch.prepared), self.task, self.training_losses
            )
        )

    def validation_step(self, batch: GroupBatch, _: int) -> None:
        coded = CodedBatch(self.code, batch.predictions, batch.labels, self(batch.prepared), self.task, self.losses)
        counted = batch.counted.index_select(1, self.losses.places).float()
        own = self.task.answer(coded.lost_predictions)
        for metric, labels in ((self.degraded, coded.lost_labels), (self.reconstruction, own)):
            metric.update(self.task.scores(coded.decoded, labels)[self.task.quality], counted)

    def on_validation_epoch_end(self) -> None:
        # compute() gathers from all processes, so every one of them has to take part; one reports.
        self.log(f"val/degraded_{self.task.quality}", self.degraded.compute(), rank_zero_only=True)
        self.log(self.monitor, self.reconstruction.compute(), rank_zero_only=True)
        self.degraded.reset()
        self.reconstruction.reset()

    def parts(self) -> dict[str, str]:
        parities = {f"parity-{row}": f"parity_models.{row}." for row in range(self.code.r)}
        return {**parities, "encoder": "code.encoder.", "decoder": "code.decoder."}


def _losses_to_learn(code: Code, seed: int) -> LossPatterns:
    """All losses that the decoder repairs, where they make a difference to it; else those of up to r predictions."""
    decoder, most = code.decoder, code.decoder.most_losses
    if not decoder.reads_predictions or most <= code.r:
        return LossPatterns(*joint_loss_patterns(code.k, code.r, PATTERNS_IN_TRAINING, seed))
    limit = max(1, PATTERNS_IN_TRAINING // most)
    return LossPatterns(*joint_loss_patterns(code.k, code.r, limit, seed, most, decoder.repairs))
