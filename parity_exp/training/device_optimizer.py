"""Optimizers whose steps can be recorded: what a schedule changes from step to step is read from the device's memory.

A recorded step repeats every number that Python passed to it. torch's fused optimizers take the learning rate as a
tensor; momentum they do not, but schedules such as one-cycle vary it. It need not be passed: scaling a momentum
before a step has the same effect as another coefficient, exactly. For Adam with the constant coefficient ``B`` in
place of ``b_t``, the stored first moment is ``s_t`` times the true one, ``s_t = (1 - B) / (1 - b_t)``::

    s_t m_t = B (f_t s_(t-1) m_(t-1)) + (1 - B) g_t    with    f_t = (b_t / B) (s_t / s_(t-1)),

and the learning rate makes up for the scale and for the bias correction, ``(1 - B^t) / ((1 - b_t^t) s_t)`` times the
schedule's. AdamW's decay, which goes by the schedule's own rate, is then a multiplication before the step, too. For
plain momentum ``f_t = b_t / B`` is all there is to it.
"""

import copy
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler


class CannotRecordError(Exception):
    """What was to be recorded does something that a recording cannot repeat; none of it has happened."""


NUMBERS = 3
"""What a step reads for each group of parameters: the learning rate, and what to multiply momentum and weights with."""

MOST_PIECES = 36
"""Tensors that one launch of torch's fused Adam takes."""

SMALLEST_PIECE = 2_048
"""Numbers that a multiprocessor takes at a time in these kernels; smaller pieces gain nothing."""


Row = tuple[float, float, float]


class DeviceOptimizer(ABC):
    """Moves parameters, and the schedule with them, in steps of which some are planned ahead.

    Args:
        optimizer: the optimizer.
        scheduler: its schedule; stepped after each of its steps.
        clip: scales gradients down, where they are to be.

    Attributes:
        recordable: whether :meth:`step` can be recorded.
    """

    recordable: bool

    def __init__(self, optimizer: Optimizer, scheduler: LRScheduler | None, clip: Callable[[], None] | None) -> None:
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.clip = clip
        self._gradients: list[Tensor] = []

    def keep_gradients(self) -> None:
        """Add gradients up in memory that stays the same, instead of taking new memory for those of each step.

        To be said again where somebody else may have forgotten gradients, as Lightning does before it validates.
        """
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self._gradients = self._gradients or [torch.zeros_like(parameter) for parameter in parameters]
        for parameter, gradient in zip(parameters, self._gradients, strict=True):
            parameter.grad = gradient

    def forget_gradients(self) -> None:
        """What the next backward pass computes takes the place of gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def plan(self, first: int, updates: Sequence[bool]) -> None:  # noqa: B027  # not everyone plans
        """Say which batches come next: the number of the first, and for each whether a step follows it."""

    @abstractmethod
    def step(self, batch_number: Tensor) -> None:
        """Take a step after the batch with this number, ``(1,)`` int64."""

    def settle(self, taken: int) -> None:  # noqa: B027
        """Leave optimizer and schedule as they are after this many of the planned batches."""


class PlainOptimizer(DeviceOptimizer):
    """Any optimizer, stepped by Python."""

    recordable = False

    def step(self, batch_number: Tensor) -> None:
        if self.clip is not None:
            self.clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        if self.scheduler is not None:
            self.scheduler.step()


class RecordedOptimizer(DeviceOptimizer):
    """Fused Adam, AdamW and SGD, whose steps read the learning rate and the momentum of their batch from a table.

    Args:
        optimizer: the optimizer.
        scheduler: its schedule.
        clip: scales gradients down.
        batches: batches in an epoch.
        device: where the parameters are.
    """

    recordable = True

    def __init__(
        self,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        clip: Callable[[], None] | None,
        batches: int,
        device: torch.device,
    ) -> None:
        super().__init__(optimizer, scheduler, clip)
        groups = len(optimizer.param_groups)
        self._table = torch.zeros(batches, groups * NUMBERS, device=device)
        self._current = torch.zeros(1, groups * NUMBERS, device=device)
        self._momenta = [_momentum(optimizer, group) for group in optimizer.param_groups]
        self._vary = bool(getattr(scheduler, "cycle_momentum", False))
        self._taken = max((_steps_taken(optimizer, group) for group in optimizer.param_groups), default=0)
        self._planned: list[tuple[bool, list[float]]] = []
        self._before: dict[str, Any] = {}
        self._pieces: Pieces | None = None

    def plan(self, first: int, updates: Sequence[bool]) -> None:
        self._before = copy.deepcopy(self.scheduler.state_dict()) if self.scheduler else {}
        self._settings_before = [dict(group, params=None) for group in self.optimizer.param_groups]
        self._planned = []
        rows = []
        scales = [1.0] * len(self._momenta)
        taken = self._taken
        for update in updates:
            numbers = [
                momentum.numbers(group, taken + 1, scale)
                for momentum, group, scale in zip(self._momenta, self.optimizer.param_groups, scales, strict=True)
            ]
            if not self._vary and any(row[1] != 1 for row, _ in numbers):
                raise CannotRecordError("the schedule varies the momentum without a cycle_momentum that says so")
            rows.append([number for row, _ in numbers for number in row])
            if update:
                taken += 1
                scales = [scale for _, scale in numbers]
                self._advance()
            self._planned.append((update, scales))
        table = torch.tensor(rows, dtype=self._table.dtype)
        if self._table.is_cuda:
            table = table.pin_memory()
        self._table[first : first + len(rows)].copy_(table, non_blocking=True)

    def _advance(self) -> None:
        if self.scheduler is not None:
            self.optimizer._opt_called = True  # type: ignore[attr-defined]  # a replay is not seen by the scheduler
            self.scheduler.step()

    @torch.no_grad()
    def step(self, batch_number: Tensor) -> None:
        torch.index_select(self._table, 0, batch_number, out=self._current)
        if self.clip is not None:
            self.clip()
        if self._pieces is None and all(self.optimizer.state.get(p) for p in _trained(self.optimizer)):
            self._pieces = Pieces(self.optimizer)
        if self._pieces is None:  # states come into being in the first step
            self._step_of(self.optimizer)
        else:
            self._pieces.take_gradients()
            self._step_of(self._pieces.optimizer)
        if self._gradients:
            self.optimizer.zero_grad(set_to_none=False)

    def _step_of(self, optimizer: Optimizer) -> None:
        """A step with what the table says, of the optimizer or of its pieces."""
        settings = [dict(group) for group in optimizer.param_groups]
        recording = self._current.is_cuda and torch.cuda.is_current_stream_capturing()
        try:
            for number, (group, momentum) in enumerate(zip(optimizer.param_groups, self._momenta, strict=True)):
                lr, factor, decay = self._current[0, number * NUMBERS : (number + 1) * NUMBERS].unbind()
                if self._vary:
                    momentum.scale(optimizer, group, factor, decay)
                group["lr"] = lr
                momentum.hold(group, self._vary)
                if "capturable" in group:
                    group["capturable"] = recording or group["capturable"]
            optimizer.step()
        finally:
            for group, before in zip(optimizer.param_groups, settings, strict=True):
                group.update(before)

    def settle(self, taken: int) -> None:
        done = self._planned[:taken]
        if done and self._vary:
            for momentum, group, scale in zip(self._momenta, self.optimizer.param_groups, done[-1][1], strict=True):
                momentum.unscale(self.optimizer, group, scale)
        updates = sum(update for update, _ in done)
        self._taken += updates
        if self._pieces is not None:
            self._pieces.tell_steps(self._taken)
        if taken < len(self._planned) and self.scheduler is not None:
            self.scheduler.load_state_dict(self._before)
            for group, before in zip(self.optimizer.param_groups, self._settings_before, strict=True):
                group.update({name: value for name, value in before.items() if name != "params"})
            for _ in range(updates):
                self._advance()
        self._planned = []


class Momentum(ABC):
    """The momentum of a group of parameters, as a recorded step deals with it.

    Args:
        group: the group, with its settings.

    Attributes:
        constant: the coefficient that steps are recorded with.
    """

    state: str
    """What the optimizer calls a parameter's momentum."""

    def __init__(self, group: dict[str, Any]) -> None:
        self.constant = self.coefficient(group)

    @abstractmethod
    def coefficient(self, group: dict[str, Any]) -> float:
        """What the schedule says it is now."""

    @abstractmethod
    def hold(self, group: dict[str, Any], varies: bool) -> None:
        """Give the optimizer the constants that it is recorded with."""

    @abstractmethod
    def numbers(self, group: dict[str, Any], step: int, scale: float) -> tuple[Row, float]:
        """What to read for a step, counted from 1, and the scale of the momenta after it."""

    def scale(self, optimizer: Optimizer, group: dict[str, Any], factor: Tensor, decay: Tensor) -> None:
        """Multiply the momenta, which are there once a step has been taken, and the weights where they decay."""
        values = self._values(optimizer, group)
        if values:
            torch._foreach_mul_(values, factor)

    def unscale(self, optimizer: Optimizer, group: dict[str, Any], scale: float) -> None:
        """Bring momenta of this scale to their true size."""
        values = self._values(optimizer, group)
        if values and scale != 1:
            torch._foreach_div_(values, scale)

    def _values(self, optimizer: Optimizer, group: dict[str, Any]) -> list[Tensor]:
        states = (optimizer.state.get(parameter, {}) for parameter in group["params"])
        return [state[self.state] for state in states if state.get(self.state) is not None]


class AdamMomentum(Momentum):
    """The first moment of Adam and AdamW (Kingma and Ba, arXiv 1412.6980, algorithm 1)."""

    state = "exp_avg"

    def __init__(self, group: dict[str, Any], decays: bool) -> None:
        super().__init__(group)
        self.decays = decays

    def coefficient(self, group: dict[str, Any]) -> float:
        return float(group["betas"][0])

    def hold(self, group: dict[str, Any], varies: bool) -> None:
        group["betas"] = (self.constant, group["betas"][1])
        if varies and self.decays:
            group["weight_decay"] = 0.0

    def numbers(self, group: dict[str, Any], step: int, scale: float) -> tuple[Row, float]:
        lr, now, constant = float(group["lr"]), self.coefficient(group), self.constant
        after = (1 - constant) / (1 - now)
        correction = (1 - constant**step) / (1 - now**step)
        factor = now / constant * after / scale
        return (lr * correction / after, factor, 1 - lr * group["weight_decay"]), after

    def scale(self, optimizer: Optimizer, group: dict[str, Any], factor: Tensor, decay: Tensor) -> None:
        super().scale(optimizer, group, factor, decay)
        if self.decays:
            torch._foreach_mul_(group["params"], decay)


class PlainMomentum(Momentum):
    """The momentum of SGD."""

    state = "momentum_buffer"

    def coefficient(self, group: dict[str, Any]) -> float:
        return float(group["momentum"])

    def hold(self, group: dict[str, Any], varies: bool) -> None:
        group["momentum"] = self.constant

    def numbers(self, group: dict[str, Any], step: int, scale: float) -> tuple[Row, float]:
        factor = self.coefficient(group) / self.constant if self.constant else 1.0
        return (float(group["lr"]), factor, 1.0), 1.0


class Pieces:
    """The same optimizer over pieces of its parameters: views of the same memory, with states of their own.

    torch's fused kernels give one multiprocessor 65,536 numbers, so that a small network keeps three of a hundred
    busy. In pieces, the same kernel uses them all.

    Args:
        optimizer: the optimizer, after a step at least.

    Attributes:
        optimizer: that of the pieces.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._whole = optimizer
        parameters = list(_trained(optimizer))
        spare = max(1, MOST_PIECES - len(parameters))
        self._size = max(SMALLEST_PIECE, -(-sum(parameter.numel() for parameter in parameters) // spare))
        self._pieces: dict[Tensor, list[nn.Parameter]] = {}
        states: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        for parameter in parameters:
            pieces = self._pieces[parameter] = [
                nn.Parameter(piece) for piece in self._cut(parameter.detach(), parameter)
            ]
            for name, value in optimizer.state[parameter].items():
                belongs = isinstance(value, Tensor) and value.shape == parameter.shape
                parts = self._cut(value, parameter) if belongs else [copy.deepcopy(value) for _ in pieces]
                for piece, part in zip(pieces, parts, strict=True):
                    states[piece][name] = part
        groups = [
            group | {"params": [piece for parameter in group["params"] for piece in self._pieces.get(parameter, [])]}
            for group in optimizer.param_groups
        ]
        self.optimizer = type(optimizer).__new__(type(optimizer))
        self.optimizer.__setstate__({"defaults": optimizer.defaults, "state": states, "param_groups": groups})

    def take_gradients(self) -> None:
        """Give the pieces the gradients that their parameters have now."""
        for parameter, pieces in self._pieces.items():
            gradients = [None] * len(pieces) if parameter.grad is None else self._cut(parameter.grad, parameter)
            for piece, gradient in zip(pieces, gradients, strict=True):
                piece.grad = gradient

    def tell_steps(self, taken: int) -> None:
        """Tell the optimizer, whose own count no piece's step has raised."""
        for parameter in self._pieces:
            state = self._whole.state[parameter]
            if "step" in state:
                state["step"].fill_(taken)

    def _cut(self, tensor: Tensor, parameter: Tensor) -> list[Tensor]:
        """Views of a tensor that lies in memory as its parameter does, which is left whole if that is not in a row."""
        if not parameter.is_contiguous() or not tensor.is_contiguous():
            return [tensor]
        return list(tensor.view(-1).split(self._size))


def _trained(optimizer: Optimizer) -> Iterator[Tensor]:
    """The parameters that have gradients."""
    return (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None)


def device_optimizer(
    optimizer: Optimizer,
    scheduler: LRScheduler | None,
    clip: Callable[[], None] | None,
    batches: int,
    device: torch.device,
) -> DeviceOptimizer:
    """An optimizer whose steps can be recorded where that is possible; see :class:`RecordedOptimizer`."""
    if why_not_recorded(optimizer, scheduler) is None:
        return RecordedOptimizer(optimizer, scheduler, clip, batches, device)
    return PlainOptimizer(optimizer, scheduler, clip)


def why_not_recorded(optimizer: Optimizer, scheduler: LRScheduler | None) -> str | None:
    """Why the steps of an optimizer cannot be recorded; None where they can."""
    name = type(optimizer).__name__
    if type(optimizer) not in (Adam, AdamW, SGD):
        return f"{name} is none of Adam, AdamW and SGD"
    if not all(group.get("fused") for group in optimizer.param_groups):
        return f"{name} is not fused (optimizer.fused=true)"
    cycles = getattr(scheduler, "cycle_momentum", False)
    for group in optimizer.param_groups:
        if isinstance(optimizer, SGD) and cycles and (group["nesterov"] or not group["momentum"] or group["dampening"]):
            return "the schedule varies Nesterov's momentum"
        if isinstance(optimizer, Adam) and cycles and not group["betas"][0]:
            return "the schedule varies a momentum that starts at 0"
    return None


def _momentum(optimizer: Optimizer, group: dict[str, Any]) -> Momentum:
    if isinstance(optimizer, SGD):
        return PlainMomentum(group)
    return AdamMomentum(group, isinstance(optimizer, AdamW) or bool(group.get("decoupled_weight_decay")))


def _steps_taken(optimizer: Optimizer, group: dict[str, Any]) -> int:
    states = (optimizer.state.get(parameter, {}) for parameter in group["params"])
    return max((int(state["step"]) for state in states if "step" in state), default=0)
