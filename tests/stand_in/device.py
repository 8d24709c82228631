"""A stand-in for an accelerator: device ``pretend``, whose tensors lie in the CPU's memory but may not meet the CPU's.

With it, tests find on any machine what fails on one with a GPU: a network left on the CPU, a mask made there, a result
that nobody brought back. It refuses what CUDA refuses, and lets through what CUDA lets through: a CPU tensor without
dimensions where numbers are combined element by element, and CPU indices and masks between square brackets. It also has
generators of its own, refuses numpy, and cannot be used in a fork of the process that has used it.

Importing this registers the device, which cannot be undone. There are as many of them as the environment variable
:data:`COUNT` says, by default none. Torch knows one registered device a process, and asks for it before its first
backward pass: import this before. Backward passes work on ``pretend:0`` only.

Not modelled: pinned memory, streams and graphs.
"""

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils import backend_registration

KIND = "pretend"

COUNT = "STAND_IN_DEVICES"
"""Environment variable: how many devices there are."""

MOVES = {"aten::copy_", "aten::_to_copy", "aten::_copy_from", "aten::_copy_from_and_resize"}
"""Operators that take tensors from everywhere."""

BY_INDEX = {
    "aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index",
    "aten::_unsafe_index_put",
}  # fmt: skip
"""Operators whose indices may be the CPU's."""

TAKES_NUMBERS = {"aten::fill", "aten::fill_", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
"""Operators that are not called pointwise, but take CPU tensors without dimensions for numbers."""


def unavailable() -> str | None:
    """Why this torch cannot have the device; None: it can."""
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        return f"torch {torch.__version__} cannot register a device in Python"
    return None


def device(index: int = 0) -> torch.device:
    return torch.device(KIND, index)


class PretendTensor(Tensor):
    """A tensor on the device.

    Attributes:
        on_cpu: its numbers.
    """

    on_cpu: Tensor

    @staticmethod
    def __new__(cls, on_cpu: Tensor, index: int) -> "PretendTensor":
        made: PretendTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            on_cpu.shape,
            strides=on_cpu.stride(),
            storage_offset=on_cpu.storage_offset(),
            dtype=on_cpu.dtype,
            device=device(index),
        )
        made.on_cpu = on_cpu
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{self.on_cpu!r} on {self.device}"

    def __reduce_ex__(self, protocol: Any) -> Any:
        content = self.on_cpu.detach().clone(), self.dtype, str(self.device), self.requires_grad
        if not isinstance(self, nn.Parameter):
            return torch._utils._rebuild_device_tensor_from_cpu_tensor, content
        return torch._utils._rebuild_parameter, (self.detach(), self.requires_grad, OrderedDict())

    def numpy(self, **_: Any) -> Any:
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy it to host memory first"
        )

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(_without_lists(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_without_lists(key), value)

    def new_tensor(self, data: Any, **settings: Any) -> Tensor:
        settings = {"dtype": self.dtype, "device": self.device, **settings}
        return torch.tensor(data, **settings)

    def tolist(self) -> Any:
        return self.on_cpu.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, *args, **(kwargs or {}))


def _without_lists(key: Any) -> Any:
    """What stands between square brackets; torch would copy lists to the device as ``torch.tensor`` does, see there."""
    if isinstance(key, tuple):
        return tuple(_without_lists(part) for part in key)
    return torch.tensor(key, device="cpu") if isinstance(key, list | range | np.ndarray) else key


def _run(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Carry out an operator that has the device to do with."""
    _backend.begin()
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    held = [tensor for tensor in tensors if isinstance(tensor, PretendTensor)]
    _refuse_mixtures(func, args, kwargs, tensors)
    index = held[0].device.index if held else None
    wanted = kwargs.get("device")
    if wanted is not None:
        wanted = torch.device(wanted)
        index = None
        if wanted.type == KIND:
            index = _backend.checked(wanted.index)
            kwargs = {**kwargs, "device": torch.device("cpu")}
    kwargs = _with_generator(func, kwargs, index)
    on_cpu_args, on_cpu_kwargs = pytree.tree_map(
        lambda leaf: leaf.on_cpu if isinstance(leaf, PretendTensor) else leaf, (args, kwargs)
    )
    out = func(*on_cpu_args, **on_cpu_kwargs)
    if index is None:
        return out
    # What is changed in place is returned as it is; everything else is a new tensor on the device.
    same = {id(tensor.on_cpu): tensor for tensor in held}
    # In inference mode views of other tensors belong to these, and count their changes.
    views = any(one.alias_info is not None for one in func._schema.returns) and not any(t.is_inference() for t in held)

    def wrapped(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) in same:
            return same[id(leaf)]
        with torch.inference_mode(False) if views else nullcontext():
            return PretendTensor(leaf, index)

    return pytree.tree_map(wrapped, out)


def _refuse_mixtures(func: Any, args: Any, kwargs: Any, tensors: Sequence[Tensor]) -> None:
    """Refuse tensors of different devices, as far as CUDA does.

    Raises:
        RuntimeError: as torch says it.
    """
    name = func._schema.name
    if name in MOVES or len({tensor.device for tensor in tensors}) < 2:
        return
    if name in BY_INDEX:
        target, indices, *others = args
        strange = [one for one in indices if one is not None and one.device.type != "cpu"]
        if any(one.device != target.device for one in strange):
            raise RuntimeError(
                f"indices should be either on cpu or on the same device as the indexed tensor ({target.device})"
            )
        tensors = [target, *(other for other in others if isinstance(other, Tensor))]
    if torch.Tag.pointwise in func.tags or name in TAKES_NUMBERS or name.startswith("aten::_foreach_"):
        strict = _changed(func, args, kwargs) + ([args[1]] if name.startswith("aten::masked_fill") else [])
        tensors = [one for one in tensors if one.dim() or one.device.type != "cpu" or any(one is it for it in strict)]
    found = list(dict.fromkeys(str(tensor.device) for tensor in tensors))
    if len(found) > 1:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {' and '.join(found)}! "
            f"(in {name})"
        )


def _changed(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Tensors that an operator writes to."""
    written = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[place] if place < len(args) else kwargs.get(argument.name)
            written += [leaf for leaf in pytree.tree_leaves(given) if isinstance(leaf, Tensor)]
    return written


# -- random numbers


class PretendGenerator(torch._C.Generator):
    """A generator of the device; that of the CPU where the device is the CPU."""

    def __new__(cls, device: Any = "cpu") -> Any:
        where = torch.device(device)
        if where.type != KIND:
            return torch._C.Generator(where)
        made = super().__new__(cls)
        made.where = torch.device(KIND, _backend.checked(where.index))
        _generators[made._cdata] = made
        return made

    @property
    def device(self) -> torch.device:
        return self.where


_generators: "weakref.WeakValueDictionary[int, PretendGenerator]" = weakref.WeakValueDictionary()
"""By what identifies them in an operator's arguments."""


def _with_generator(func: Any, kwargs: dict[str, Any], index: int | None) -> dict[str, Any]:
    """See to it that random numbers of the device come from a generator of the device.

    Raises:
        RuntimeError: as torch says it, of a generator that is another device's.
    """
    takes = [argument.name for argument in func._schema.arguments]
    if "generator" not in takes:
        return kwargs
    given = kwargs.get("generator")
    if given is None:
        return kwargs if index is None else {**kwargs, "generator": _backend.generators[index]}
    known = _generators.get(given._cdata)
    if index is not None and (known is None or known.where.index != index):
        found = "cpu" if known is None else known.where
        raise RuntimeError(f"Expected a '{device(index)}' device type for generator but found '{found}'")
    return kwargs


# -- what torch asks a device


class _Backend:
    """``torch.pretend``."""

    def __init__(self) -> None:
        self.current = 0
        self.owner: int | None = None
        self.generators = [torch._C.Generator(torch.device("cpu")) for _ in range(8)]

    def begin(self) -> None:
        """The device is used.

        Raises:
            RuntimeError: in a fork of a process that has used it, or where there is none.
        """
        if self.owner is None:
            if not self.is_available():
                raise RuntimeError(f"there is no device {KIND} here; the environment variable {COUNT} says how many")
            self.owner = os.getpid()
        elif self._is_in_bad_fork():
            raise RuntimeError(f"Cannot re-initialize {KIND} in forked subprocess; use another start method")

    def checked(self, index: int | None) -> int:
        """The number of a device.

        Raises:
            RuntimeError: there is no such one.
        """
        index = self.current if index is None else index
        if not 0 <= index < self.device_count():
            raise RuntimeError(f"{KIND} error: invalid device ordinal {index}")
        return index

    def is_available(self) -> bool:
        return self.device_count() > 0

    def device_count(self) -> int:
        return int(os.environ.get(COUNT, "0"))

    def is_initialized(self) -> bool:
        return self.owner is not None

    def _is_in_bad_fork(self) -> bool:
        return self.owner is not None and self.owner != os.getpid()

    def current_device(self) -> int:
        return self.current

    def set_device(self, which: Any) -> None:
        self.current = self.checked(which if isinstance(which, int) else torch.device(which).index)

    def get_device_name(self, which: Any = None) -> str:
        return "a pretended device"

    def synchronize(self, which: Any = None) -> None:
        """Nothing is ever under way."""

    def empty_cache(self) -> None:
        """There is none."""

    def manual_seed(self, seed: int) -> None:
        self.generators[self.current].manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        for generator in self.generators:
            generator.manual_seed(seed)

    def get_rng_state(self, which: Any = KIND) -> Tensor:
        return self.generators[self.checked(torch.device(which).index)].get_state()

    def set_rng_state(self, state: Tensor, which: Any = KIND) -> None:
        self.generators[self.checked(torch.device(which).index)].set_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


_backend = _Backend()


AUTOCAST = "AutocastPrivateUse1"

IN_LOW_PRECISION = ("linear", "matmul", "mm", "addmm", "bmm", "baddbmm", "conv1d", "conv2d")
"""What ``torch.autocast`` computes in its type."""


RESIZING = ("arange", "eye")
"""Factory functions that would make a tensor without numbers first, and resize it."""


def _register() -> list[torch.library.Library]:
    backend_registration._setup_privateuseone_for_python_backend(KIND, _backend)
    every = torch.library.Library("_", "IMPL")
    every.fallback(lambda func, *args, **kwargs: _run(func, *args, **kwargs), "PrivateUse1")
    every.fallback(torch.library.fallthrough_kernel, AUTOCAST)
    some = torch.library.Library("aten", "IMPL")
    for operator in (getattr(torch.ops.aten, name) for name in RESIZING):
        for overload in (getattr(operator, name) for name in operator.overloads() if not name.endswith("out")):
            some.impl(overload, partial(_run, overload), "PrivateUse1")
    for name in IN_LOW_PRECISION:
        some.impl(name, _cast(getattr(torch.ops.aten, name)), AUTOCAST)
    return [every, some]


def _cast(operator: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        wanted = torch.get_autocast_dtype(KIND)
        args, kwargs = pytree.tree_map(
            lambda leaf: leaf.to(wanted) if isinstance(leaf, Tensor) and leaf.dtype is torch.float32 else leaf,
            (args, kwargs),
        )
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            return operator(*args, **kwargs)

    return run


# -- what torch does below the place where a device in Python is asked


def _made_on_the_cpu(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``torch.tensor`` and its like, which copy numbers in a way that a device in Python cannot take part in."""

    def make(*args: Any, device: Any = None, requires_grad: bool = False, **kwargs: Any) -> Tensor:
        # Not torch.get_default_device(), which makes a tensor to see where it comes to lie.
        device = torch.utils._device.CURRENT_DEVICE if device is None and not isinstance(args[0], Tensor) else device
        if device is None or torch.device(device).type != KIND:
            rest = {"requires_grad": True} if requires_grad else {}
            return function(*args, device=device, **rest, **kwargs)
        return function(*args, device="cpu", **kwargs).to(device).requires_grad_(requires_grad)

    return make


@contextmanager
def factories() -> Iterator[None]:
    """Inside the block torch's factory functions and generators know the device."""
    changed: list[tuple[Any, str, Any]] = [
        (torch, "tensor", _made_on_the_cpu(torch.tensor)),
        (torch, "as_tensor", _made_on_the_cpu(torch.as_tensor)),
        (torch, "Generator", PretendGenerator),
        (torch.accelerator, "synchronize", lambda *_: None),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in changed]
    for owner, name, value in changed:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


_for_good = ExitStack()


def plug_in() -> None:
    """Have factory functions know the device from now on, in a process that is there for nothing else."""
    if torch.Generator is not PretendGenerator:
        _for_good.enter_context(factories())


if unavailable() is None:
    _libraries = _register()
