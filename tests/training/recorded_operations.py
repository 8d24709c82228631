"""A recorder that needs no GPU: it notes every operation as torch carries it out, and repeats the list.

As with a CUDA graph, only what has been an operation on tensors is repeated, with the numbers that Python passed to it
then and the very memory that it used then; whatever else Python does happens once. Reading a tensor's value is
refused, as a GPU refuses to be waited for while it records.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from parity_exp.training.device_optimizer import CannotRecordError
from parity_exp.training.step_graphs import Recorder, Replay

WAITS = ("aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::nonzero", "aten::item")


class ListRecorder(Recorder):
    """Records by noting operations; see above.

    Attributes:
        recordings: how many have been made.
        replays: how often one was replayed.
    """

    def __init__(self) -> None:
        self.recordings = 0
        self.replays = 0

    def run(self, operations: Callable[[], None]) -> None:
        operations()

    def record(self, operations: Callable[[], None]) -> Replay:
        # A CUDA graph's operations are not carried out while they are recorded; here they are, so what they change is
        # put back.
        noted = _Notes()
        with noted:
            operations()
        noted.put_back()
        self.recordings += 1

        def replay() -> None:
            self.replays += 1
            noted.repeat()

        return replay


class _Notes(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name in WAITS:
            self.put_back()
            raise CannotRecordError(f"{name} waits for the device")
        for argument, declared in zip(args, func._schema.arguments, strict=False):
            self._remember(argument, declared)
        for declared in func._schema.arguments:
            if declared.name in kwargs:
                self._remember(kwargs[declared.name], declared)
        result = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, result))
        return result

    def _remember(self, argument: Any, declared: Any) -> None:
        if declared.alias_info is None or not declared.alias_info.is_write:
            return
        for tensor in pytree.tree_leaves(argument):
            if isinstance(tensor, Tensor):
                whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                self.before.setdefault(tensor.untyped_storage().data_ptr(), (whole, whole.clone()))

    def put_back(self) -> None:
        with torch.no_grad():
            for tensor, value in self.before.values():
                tensor.copy_(value)

    @torch.no_grad()
    def repeat(self) -> None:
        for func, args, kwargs, result in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(pytree.tree_leaves(result), pytree.tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    old.copy_(new)
