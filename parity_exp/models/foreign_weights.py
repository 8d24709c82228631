"""Find a network's weights in what somebody's training script has saved, or say what differs.

Scripts nest weights (``state_dict``, ``model``, ``ema``, ...), wrap networks (``module.``, ``_orig_mod.``), save
tensors that the network does not have, and call modules as they like. The rules:

* Names decide where they can: a set of tensors fits if, without wrappers and behind one common prefix, every tensor
  that the network wants is there, in its shape. What is there besides is reported, not loaded.
* Else order decides: as many tensors as the network has, each with the shape and the role of its counterpart.
* Of several sets that fit, the trained weights come before averaged ones (``ema``).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
"""Keys under which training scripts commonly store the weights; these are looked at first."""

AVERAGES = "ema"
"""Part of the keys that hold averaged weights; these are looked at last."""

NO_WEIGHTS = ("opt", "sched", "lr_sched", "scaler", "rng", "callback", "loops", "hyper_param")
"""How keys begin that hold what a trainer needs to go on, and no networks."""

DEPTH = 4
"""How deep weights may be nested."""

NO_TENSORS_OF_ITS_OWN = ("num_batches_tracked", "total_ops", "total_params", "n_averaged")
"""Counters, which play no part in predictions: batch norm's, and those of profilers and of averaging."""

ROLES = {"weight", "bias", "running_mean", "running_var"}
"""Last parts of a key that say what a tensor does, whatever the module is called."""

COMPILED, PARALLEL = "_orig_mod", "module"
"""What torch.compile and DataParallel put into names."""

SHOWN = 6
"""Names in a list of a message."""


class WeightsError(ValueError):
    """Weights of another network; the message says what differs and what to do."""


@dataclass(frozen=True)
class Found:
    """Tensors that may be a network's.

    Attributes:
        place: keys that lead to them; empty at the top.
        tensors: by name.
    """

    place: tuple[str, ...]
    tensors: dict[str, Tensor]


def fitting_weights(network: nn.Module, content: Any) -> dict[str, Tensor]:
    """The network's state_dict from what is in a file.

    Args:
        network: says which tensors are wanted, in which shapes.
        content: a state_dict, or mappings and lists that hold one somewhere.

    Raises:
        WeightsError: nothing in it fits the network.
    """
    expected = {key: value for key, value in network.state_dict().items() if isinstance(value, Tensor)}
    wanted = [key for key in expected if not key.endswith(NO_TENSORS_OF_ITS_OWN)]
    if not wanted:
        return expected
    candidates = list(_candidates(content, (), DEPTH))
    if not candidates:
        raise WeightsError(f"holds no weights, but {_described(content)}; expected a network's state_dict")
    tied = _tied(expected)
    for pairing in (_by_name, _by_order):
        for found in candidates:
            pairs = pairing(expected, wanted, tied, found.tensors)
            if pairs is not None:
                _check_values(expected, pairs, found.tensors)
                _report(found, pairs, candidates)
                return expected | {ours: found.tensors[theirs] for ours, theirs in pairs.items()}
    nearest = max(candidates, key=lambda found: _shared(expected, wanted, found.tensors))
    raise WeightsError(_differences(expected, wanted, nearest))


def _candidates(content: Any, place: tuple[str, ...], depth: int) -> Iterator[Found]:
    """Every set of named tensors, the likeliest first."""
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        content = {str(at): part for at, part in enumerate(content) if not isinstance(part, Tensor)}
    if not isinstance(content, Mapping) or depth == 0:
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield Found(place, tensors)
    names = [name for name in content if not str(name).lower().startswith(NO_WEIGHTS)]
    for name in sorted(names, key=_likelihood):
        yield from _candidates(content[name], (*place, str(name)), depth - 1)


def _likelihood(name: object) -> int:
    known = NESTS.index(str(name)) if name in NESTS else len(NESTS)
    return known + 100 * (AVERAGES in str(name).lower())


def _described(content: Any) -> str:
    if isinstance(content, Tensor):
        return f"one tensor {tuple(content.shape)}"
    if isinstance(content, Mapping):
        return f"a dictionary of {_some([str(name) for name in content]) or 'nothing'}"
    return f"a {type(content).__name__}"


Pairs = dict[str, str]
"""Names that the network has, and those in the file."""


def _by_name(
    expected: Mapping[str, Tensor], wanted: Sequence[str], tied: Mapping[str, str], found: Mapping[str, Tensor]
) -> Pairs | None:
    for pairs in _pairings(wanted, found):
        for key in wanted:
            other = tied.get(key, key)
            if key not in pairs and other in pairs:
                pairs[key] = pairs[other]
        if len(pairs) == len(wanted) and all(_fits(expected[ours], found[theirs]) for ours, theirs in pairs.items()):
            return pairs
    return None


def _pairings(wanted: Sequence[str], found: Mapping[str, Tensor]) -> Iterator[Pairs]:
    """Ways to find wanted names in a file, with one prefix before all of them; the shortest first."""
    names = {_unwrapped(name): name for name in found}
    for ours in ({key: key for key in wanted}, dict(zip(wanted, _without_common_prefix(wanted), strict=True))):
        for prefix in _prefixes(names, list(ours.values())):
            yield {key: names[prefix + bare] for key, bare in ours.items() if prefix + bare in names}


def _prefixes(names: Mapping[str, str], wanted: Sequence[str]) -> list[str]:
    """What may stand before all wanted names, the shortest first, that of averages last."""
    for bare in wanted:
        ending = [name for name in names if name == bare or name.endswith(f".{bare}")]
        if ending:
            return sorted(
                (name.removesuffix(bare) for name in ending), key=lambda prefix: (AVERAGES in prefix, len(prefix))
            )
    return []


def _unwrapped(name: str) -> str:
    """A tensor's name without what DataParallel and torch.compile add to it."""
    parts = [part for part in name.split(".") if part != COMPILED]
    while len(parts) > 1 and parts[0] == PARALLEL:
        parts = parts[1:]
    return ".".join(parts)


def _without_common_prefix(keys: Sequence[str]) -> list[str]:
    """Keys without the leading modules that all of them share: ``module.net.0.bias`` to ``0.bias``."""
    paths = [key.split(".") for key in keys]
    shared = 0
    while all(len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    return [".".join(path[shared:]) for path in paths]


def _tied(expected: Mapping[str, Tensor]) -> dict[str, str]:
    """Tensors that are another one of the network; safetensors keeps one of them only."""
    first: dict[tuple[int, torch.Size], str] = {}
    return {key: first.setdefault((value.data_ptr(), value.shape), key) for key, value in expected.items()}


def _by_order(
    expected: Mapping[str, Tensor], wanted: Sequence[str], _: Mapping[str, str], found: Mapping[str, Tensor]
) -> Pairs | None:
    offered = _offered(found)
    fits = len(offered) == len(wanted) and all(
        _fits(expected[ours], found[theirs]) and _same_role(ours, theirs)
        for ours, theirs in zip(wanted, offered, strict=True)
    )
    return dict(zip(wanted, offered, strict=True)) if fits else None


def _offered(found: Mapping[str, Tensor]) -> list[str]:
    return [key for key in found if not key.endswith(NO_TENSORS_OF_ITS_OWN)]


def _same_role(ours: str, theirs: str) -> bool:
    roles = {ours.rpartition(".")[2], theirs.rpartition(".")[2]}
    return len(roles) == 1 or not roles <= ROLES


def _fits(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and _kind(ours) == _kind(theirs)


def _kind(tensor: Tensor) -> str:
    if tensor.is_quantized:
        return "quantised"
    return "real" if tensor.is_floating_point() else "complex" if tensor.is_complex() else "whole"


def _check_values(expected: Mapping[str, Tensor], pairs: Pairs, found: Mapping[str, Tensor]) -> None:
    for ours, theirs in pairs.items():
        tensor = found[theirs]
        if tensor.is_floating_point() and not tensor.to(expected[ours].dtype).isfinite().all():
            raise WeightsError(
                f"{theirs} holds values that are no finite numbers, as after a training that diverged; take an earlier "
                "checkpoint"
            )


def _report(found: Found, pairs: Pairs, candidates: Sequence[Found]) -> None:
    """Say what was chosen, where a reader could expect otherwise."""
    used = set(pairs.values())
    extra = [name for name in _offered(found.tensors) if name not in used]
    if extra:
        log.warning(
            "the checkpoint holds %d tensors that the network does not have, and they are not used: %s; if it is of a "
            "larger network, accuracy will be far from what it was",
            len(extra),
            _some(extra),
        )
    averages = [".".join(other.place) for other in candidates if AVERAGES in ".".join(other.place).lower()]
    chosen = ".".join(found.place)
    if averages and chosen not in averages:
        log.info(
            "the checkpoint holds averaged weights too (%s); those of %s are taken", averages[0], chosen or "its top"
        )


def _shared(expected: Mapping[str, Tensor], wanted: Sequence[str], found: Mapping[str, Tensor]) -> tuple[int, int]:
    """How near tensors are to the wanted ones: by names, else by how many there are."""
    pairs = _best_pairs(expected, wanted, found)
    return len(pairs), -abs(len(wanted) - len(_offered(found)))


def _best_pairs(expected: Mapping[str, Tensor], wanted: Sequence[str], found: Mapping[str, Tensor]) -> Pairs:
    def agreement(pairs: Pairs) -> tuple[int, int]:
        return len(pairs), sum(_fits(expected[ours], found[theirs]) for ours, theirs in pairs.items())

    return max(_pairings(wanted, found), key=agreement, default={})


def _differences(expected: Mapping[str, Tensor], wanted: Sequence[str], found: Found) -> str:
    tensors, offered = found.tensors, _offered(found.tensors)
    pairs = _best_pairs(expected, wanted, tensors)
    where = f" under {'.'.join(found.place)!r}" if found.place else ""
    parts = [f"weights of another network: expected {len(wanted)} tensors, found {len(offered)} tensors{where}"]
    if pairs:
        other = [
            f"{ours} {_shape(expected[ours])} is {_shape(tensors[theirs])} in the file"
            for ours, theirs in pairs.items()
            if not _fits(expected[ours], tensors[theirs])
        ]
        missing = [f"{key} {_shape(expected[key])}" for key in wanted if key not in pairs]
        used = set(pairs.values())
        unwanted = [f"{name} {_shape(tensors[name])}" for name in offered if name not in used]
        for title, names in (
            ("of another shape or type", other),
            ("missing in the file", missing),
            ("not in the network", unwanted),
        ):
            if names:
                parts.append(f"{len(names)} {title}: {_some(names)}")
        parts.append(_remedy(expected, wanted, pairs, tensors, bool(missing or unwanted)))
        return "; ".join(parts)
    at = next(
        (
            at
            for at, (ours, theirs) in enumerate(zip(wanted, offered, strict=False))
            if not (_fits(expected[ours], tensors[theirs]) and _same_role(ours, theirs))
        ),
        min(len(wanted), len(offered)),
    )
    ours = f"{wanted[at]} {_shape(expected[wanted[at]])}" if at < len(wanted) else "no more"
    theirs = f"{offered[at]} {_shape(tensors[offered[at]])}" if at < len(offered) else "no more"
    parts.append(
        f"no name agrees, and in order tensor {at + 1} is the first that differs: expected {ours}, found {theirs}"
    )
    parts.append(_remedy(expected, wanted, pairs, tensors, True))
    return "; ".join(parts)


def _remedy(
    expected: Mapping[str, Tensor], wanted: Sequence[str], pairs: Pairs, found: Mapping[str, Tensor], names_differ: bool
) -> str:
    last = wanted[-1].rpartition(".")[0] if wanted else ""
    wrong = [ours for ours, theirs in pairs.items() if not _fits(expected[ours], found[theirs])]
    if not names_differ and wrong and all(ours.rpartition(".")[0] == last for ours in wrong):
        theirs, ours = found[pairs[wrong[-1]]].shape[0], expected[wrong[-1]].shape[0]
        return (
            f"the file's network has {theirs} outputs and this one {ours}: choose the data set that it was trained "
            "for, or give it a new last layer and train that first"
        )
    return "choose the architecture, its settings and the data set that the file was made with"


def _shape(tensor: Tensor) -> str:
    real = tensor.is_floating_point() and not tensor.is_quantized
    return f"{tuple(tensor.shape)}" + ("" if real else f" {str(tensor.dtype).removeprefix('torch.')}")


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
