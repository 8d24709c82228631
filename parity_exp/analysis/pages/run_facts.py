"""What was run, in words and small tables, from a run's config and its recordings.

Configs name components by ``_target_``; people's own classes are described as ours are, by class and settings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from parity_exp.analysis.tables.numbers import number
from parity_exp.disturbances.trace import CLUSTER
from parity_exp.recordings.reader import Recordings

Config = Mapping[str, Any]
Rows = list[list[str]]


def title_of(config: Config, policies: Sequence[str]) -> str:
    """One line that says what was run."""
    parts = [
        f"{_name(config, 'dataset')}, {_class(config.get('architecture'))}: {_code(config)}, "
        f"k = {config.get('k')}, r = {config.get('r')}"
    ]
    if policies:
        parts.append(f"served by {', '.join(policies)}")
        stragglers = list(components(config.get("straggler")))
        parts.append(f"under {', '.join(stragglers)}" if stragglers else "without stragglers")
    return "; ".join(parts)


def components(node: object) -> dict[str, str]:
    """Description of each component of a config node by name: one, several by name, or a list of them."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            return {_class(node): describe(node)}
        return {str(name): describe(part) for name, part in node.items() if isinstance(part, Mapping)}
    if isinstance(node, Sequence) and not isinstance(node, str):
        found: dict[str, str] = {}
        for part in node:
            found |= components(part) if isinstance(part, Mapping) else {str(part): str(part)}
        return found
    return {} if node is None else {str(node): str(node)}


def describe(node: object) -> str:
    """A component as ``Class (setting value, ...)``; settings that are null are left out."""
    if not isinstance(node, Mapping):
        return "-" if node is None else str(node)
    settings = [f"{key} {_setting(value)}" for key, value in node.items() if key[:1] != "_" and value is not None]
    return _class(node) + (f" ({', '.join(settings)})" if settings else "")


def coded_facts(config: Config) -> Rows:
    """The parts of a code and of its training."""
    base, trainer = _part(config, "base"), _part(config, "trainer")
    parity = _part(config, "parity").get("architecture")
    facts: dict[str, object] = {
        "data set": f"{_name(config, 'dataset')}: {describe(config.get('dataset'))}",
        "architecture": describe(config.get("architecture")),
        "base model": base.get("checkpoint") or f"trained for {base.get('max_epochs')} epochs",
        "base architecture": describe(base["architecture"]) if base.get("architecture") else None,
        "parity architecture": describe(parity) if parity else None,
        "k, r": f"{config.get('k')}, {config.get('r')}",
        "code": describe(config.get("code")) if config.get("code") else None,
        "encoder": describe(config.get("encoder")) if config.get("encoder") else None,
        "decoder": describe(config.get("decoder")) if config.get("decoder") else None,
        "generator matrix": describe(config["generator"]) if config.get("generator") and config["r"] > 1 else None,
        "objective": describe(config.get("objective")) if config.get("objective") else None,
        "epochs": trainer.get("max_epochs"),
        "optimizer": describe(config.get("optimizer")),
        "seed": config.get("seed"),
    }
    return [[name, str(value)] for name, value in facts.items() if value is not None]


def serving_facts(config: Config) -> Rows:
    """Policies, pool, load and stragglers."""
    rows = [[f"policy {name}", text] for name, text in components(config.get("redundancy")).items()]
    rows += [["pool", text] for text in components(config.get("pool")).values()]
    rows += [["load", text] for text in components(config.get("load")).values()]
    stragglers = components(config.get("straggler"))
    rows += [[f"straggler {name}", text] for name, text in stragglers.items()] or [["straggler", "none"]]
    return rows


def load_sentences(config: Config, recordings: Recordings, metrics: Mapping[str, float]) -> list[str]:
    """How many queries came how fast, by when they had to be answered, and what the instances' times are."""
    load, pool = _part(config, "load"), _part(config, "pool")
    sentences = []
    arrivals_s = recordings.arrivals_s
    measured = max((len(table) for table in recordings.queries.values()), default=0)
    if arrivals_s is not None and len(arrivals_s) < measured:
        sentences.append(
            f"{len(arrivals_s):,} clients; each sent its next query when its last was answered, so a slow policy gets "
            "fewer queries a second than a fast one."
        )
    elif arrivals_s is not None and len(arrivals_s) > 1:
        gaps_s = np.diff(arrivals_s.to_numpy())
        rate_qps = len(gaps_s) / max(float(gaps_s.sum()), 1e-9)
        utilisation = load.get("utilisation")
        of = f", {100 * utilisation:g} % of what the base instances can serve" if utilisation else ""
        sentences.append(
            f"{len(arrivals_s):,} queries, warm-up included, arrived at {number(rate_qps)} a second on average "
            f"({_class(load)}{of}), at the same times for every policy."
        )
    if load.get("slo_ms"):
        sentences.append(f"A query without an answer after {load['slo_ms']:g} ms got the default prediction.")
    sentences += _capacity_sentences(metrics)
    floor_ms = pool.get("service_time_ms")
    if floor_ms:
        sentences.append(
            f"Instances sleep until a task has taken {floor_ms:g} ms (pool.service_time_ms), burning no CPU, so that a "
            "small model behaves like a large one. The latencies here are not those of the model itself."
        )
    return sentences


def _capacity_sentences(metrics: Mapping[str, float]) -> list[str]:
    """What base instances can serve, alone and together, where both were measured."""
    service_ms, together_qps = (metrics.get(f"serve/{name}") for name in ("service_time_ms", "capacity_qps"))
    if not service_ms or not together_qps:
        return []
    times = together_qps * service_ms / 1000
    return [
        f"One base instance alone took {number(service_ms)} ms a query; all of them together can serve "
        f"{number(together_qps)} a second, {times:.3g} times as many as one, which is what load.utilisation is of."
    ]


def straggler_rows(trace: pd.DataFrame | None) -> Rows:
    """What was injected, a row a kind; and one for each size of cluster, as far as they met different things."""
    if trace is None:
        return []
    rows = []
    kinds = trace["kind"].astype(str)
    if CLUSTER in trace:
        of_one_size = trace[CLUSTER].notna()
        kinds = kinds.where(~of_one_size, kinds + trace[CLUSTER].map(" (clusters of {:.0f})".format))
    for kind, some in trace.groupby(kinds, sort=False):
        seconds = float((some["end_s"] - some["start_s"]).sum())
        factors = sorted(some["factor"].unique())
        rows.append(
            [
                str(kind),
                f"{len(some):,}",
                f"{some['instance'].nunique()}",
                number(seconds) if seconds else "-",
                f"{factors[0]:g}" if len(factors) == 1 else f"{factors[0]:.3g} to {factors[-1]:.3g}",
                *(
                    number(extra_ms) if extra_ms else "-"
                    for extra_ms in (some["extra_ms"].mean(), some["extra_ms"].max())
                ),
            ]
        )
    return rows


def _part(config: Config, key: str) -> Config:
    part = config.get(key)
    return part if isinstance(part, Mapping) else {}


def _name(config: Config, key: str) -> str:
    return str(_part(config, key).get("name") or _class(config.get(key)))


def _code(config: Config) -> str:
    """What encodes and decodes, in a few words."""
    if config.get("encoder"):
        return f"{_coder(config, 'encoder')}, {_coder(config, 'decoder')}"
    return _class(config.get("code"))


def _coder(config: Config, kind: str) -> str:
    """``AdditionEncoder`` as "addition encoder"."""
    name = _class(config.get(kind)).removesuffix(kind.capitalize())
    return f"{name.lower() if name.istitle() else name} {kind}"


def _class(node: object) -> str:
    """The last name of a component's ``_target_``."""
    if isinstance(node, Mapping):
        return str(node.get("_target_", "-")).rpartition(".")[2]
    return "-" if node is None else str(node)


def _setting(value: object) -> str:
    if isinstance(value, Mapping):
        return describe(value) if "_target_" in value else "{" + ", ".join(f"{k} {v}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_setting(entry) for entry in value) + "]"
    return str(value)
