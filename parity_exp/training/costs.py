"""What a code costs: parameters, floating-point operations, and microseconds of encoding and decoding."""

import math
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import nn

from parity_exp.coding import Code
from parity_exp.devices.placement import on_device
from parity_exp.models.operations import operations_of

REPEATS = 200
"""Encodings and decodings that are timed; the median counts."""


def code_costs(code: Code, base: nn.Module, parity_models: Sequence[nn.Module]) -> dict[str, float]:
    """Costs of one group, as serving pays them: one prediction of it is lost, and comes back.

    Args:
        code: encoder and decoder.
        base: the base model.
        parity_models: r networks.

    Returns:
        ``<part>_parameters`` and ``<part>_flops`` for ``base``, ``parity`` (one model, one query) and ``decoder`` (one
        lost prediction), where a multiplication and an addition are two operations; ``decoder_flops_fraction`` of the
        parity model's; ``encode_us`` (one parity query) and ``decode_us``, medians on one thread of this machine's
        processor.
    """
    code, base, parity = on_device(code, "cpu"), on_device(base, "cpu"), on_device(parity_models[0], "cpu")
    encoder, decoder = code.encoder, code.decoder
    queries = [torch.rand(encoder.query_shape) for _ in range(code.k)]
    out = torch.empty(encoder.parity_shape)
    predictions = [None, *(torch.rand(decoder.output_shape) for _ in range(code.k - 1))]
    leading = decoder.output_shape[:-1]
    size = decoder.parity_outputs // math.prod(leading)
    parities = [torch.rand(*leading, size) for _ in range(code.r)]

    def encode() -> None:
        encoder.encode_group(queries, 0, out)

    def decode() -> None:
        decoder.decode_group(predictions, parities, 0)

    def decode_batch() -> None:
        # decode_group runs in inference mode, where nothing is counted; this is the same for a batch of one.
        known = torch.rand(1, code.k, *decoder.output_shape)
        available = torch.arange(code.k)[None] > 0
        decoder.decode(known, available, torch.stack(parities)[None], torch.ones(1, code.r, dtype=torch.bool))

    costs = {
        "base_parameters": _parameters(base),
        "parity_parameters": _parameters(parity),
        "decoder_parameters": _parameters(decoder),
        "base_flops": _flops(lambda: base(torch.zeros(1, *encoder.query_shape))),
        "parity_flops": _flops(lambda: parity(torch.zeros(1, *encoder.parity_shape))),
        "decoder_flops": _flops(decode_batch),
    }
    if costs["parity_flops"]:
        costs["decoder_flops_fraction"] = costs["decoder_flops"] / costs["parity_flops"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return costs | {"encode_us": _microseconds(encode), "decode_us": _microseconds(decode)}
    finally:
        torch.set_num_threads(threads)


def _parameters(module: nn.Module) -> float:
    return float(sum(parameter.numel() for parameter in module.parameters()))


def _flops(run: Callable[[], object]) -> float:
    return float(operations_of(run))


def backup_costs(name: str, network: nn.Module, base: nn.Module, shape: Sequence[int], k: int) -> dict[str, float]:
    """Costs of a small model that stands in for the base model.

    Args:
        name: ``backup`` or ``multiplexed_backup``.
        network: the small model.
        base: the base model.
        shape: of one query.
        k: queries in a group; its operations are those of k queries in one pass, divided by k.

    Returns:
        ``<name>_parameters``, ``<name>_flops`` for one query, and ``<name>_flops_fraction`` of the base model's.
    """
    network, base = on_device(network, "cpu"), on_device(base, "cpu")
    flops = _flops(lambda: network(torch.zeros(k, *shape))) / k
    whole = _flops(lambda: base(torch.zeros(1, *shape)))
    costs = {f"{name}_parameters": _parameters(network), f"{name}_flops": flops}
    return costs | ({f"{name}_flops_fraction": flops / whole} if whole else {})


def _microseconds(run: Callable[[], object]) -> float:
    durations = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        run()
        durations.append(time.perf_counter() - started_s)
    return 1e6 * median(durations)
