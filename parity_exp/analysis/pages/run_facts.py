"""What was run, in words and small tables, from a run's config and its recordings.

People's own classes are described as this package's are: by class and settings, and by what they say they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from parity_exp.analysis.pages.page import Table
from parity_exp.analysis.tables.numbers import number
from parity_exp.disturbances.trace import CLUSTER
from parity_exp.recordings.descriptions import class_of, is_component, settings_of
from parity_exp.recordings.looks import Looks, look_of
from parity_exp.recordings.metric_keys import SIMULATED, prefix_of
from parity_exp.recordings.reader import Recordings
from parity_exp.words import counted

Config = Mapping[str, Any]
Descriptions = Mapping[str, Mapping[str, str]]
Rows = list[list[str]]

UNKNOWN = "-"
"""What a run says nothing of: a simulation that a program began has no data, networks and code."""


def title_of(config: Config, policies: Sequence[str]) -> str:
    """One line that says what was run."""
    what = [name for name in (_name(config, "dataset"), _class(config.get("architecture"))) if name != UNKNOWN]
    code = [] if _code(config) == UNKNOWN else [_code(config)]
    numbers = ", ".join([*code, f"k = {config.get('k')}", f"r = {config.get('r')}"])
    parts = [f"{', '.join(what)}: {numbers}" if what else numbers]
    if policies:
        parts.append(f"served by {', '.join(policies)}")
        stragglers = list(components(config.get("straggler"), "straggler"))
        parts.append(f"under {', '.join(stragglers)}" if stragglers else "without stragglers")
    return "; ".join(parts)


def components(node: object, place: str) -> dict[str, tuple[str, str]]:
    """Each component of a config node by name: one, several by name, or a list of them.

    Args:
        node: of the config.
        place: of the node.

    Returns:
        for each its place and its description.
    """
    if is_component(node):
        assert isinstance(node, Mapping)
        return {class_of(node): (place, describe(node))}
    if isinstance(node, Mapping):
        parts = {str(name): part for name, part in node.items() if isinstance(part, Mapping)}
        return {name: (f"{place}.{name}", describe(part)) for name, part in parts.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        found: dict[str, tuple[str, str]] = {}
        for part in node:
            found |= components(part, place) if isinstance(part, Mapping) else {str(part): (place, str(part))}
        return found
    return {} if node is None else {str(node): (place, str(node))}


def describe(node: object) -> str:
    """A component as ``Class (setting value, ...)``; settings that are null are left out."""
    if not isinstance(node, Mapping):
        return UNKNOWN if node is None else str(node)
    settings = [f"{key} {_setting(value)}" for key, value in settings_of(node).items() if value is not None]
    return _class(node) + (f" ({', '.join(settings)})" if settings else "")


def coded_facts(config: Config, said: Descriptions | None = None) -> Table:
    """The parts of a code and of its training."""
    base, trainer = _part(config, "base"), _part(config, "trainer")
    dataset, epochs = config.get("dataset"), base.get("max_epochs")
    several = config.get("generator") and config["r"] > 1
    facts: dict[str, tuple[str, object]] = {
        "data set": ("dataset", f"{_name(config, 'dataset')}: {describe(dataset)}" if dataset else None),
        "architecture": ("architecture", _there(config.get("architecture"))),
        "base model": ("", base.get("checkpoint") or (f"trained for {counted(epochs, 'epoch')}" if epochs else None)),
        "base architecture": ("base.architecture", _there(base.get("architecture"))),
        "parity architecture": ("parity.architecture", _there(_part(config, "parity").get("architecture"))),
        "k, r": ("", f"{config.get('k')}, {config.get('r')}"),
        "code": ("code", _there(config.get("code"))),
        "encoder": ("encoder", _there(config.get("encoder"))),
        "decoder": ("decoder", _there(config.get("decoder"))),
        "generator matrix": ("generator", describe(config["generator"]) if several else None),
        "objective": ("objective", _there(config.get("objective"))),
        "epochs": ("", trainer.get("max_epochs")),
        "optimizer": ("optimizer", _there(config.get("optimizer"))),
        "seed": ("", config.get("seed")),
    }
    rows = [(name, str(value), place) for name, (place, value) in facts.items() if value is not None]
    return _facts(rows, said or {}, "The code")


def _there(node: object) -> str | None:
    """A component's description, None where there is none."""
    return describe(node) if node else None


def serving_facts(config: Config, said: Descriptions | None = None, looks: Looks | None = None) -> Table:
    """Policies, pool, load and stragglers."""
    rows = []
    ideas = {place: dict(words) for place, words in (said or {}).items()}
    for name, (place, text) in components(config.get("redundancy"), "redundancy").items():
        rows.append((f"policy {name}", text, place))
        idea = look_of(name, looks).idea
        if idea:
            ideas[place] = {"is": idea}
    for part in ("pool", "load"):
        rows += [(part, text, place) for place, text in components(config.get(part), part).values()]
    stragglers = components(config.get("straggler"), "straggler").items()
    rows += [(f"straggler {name}", text, place) for name, (place, text) in stragglers] or [("straggler", "none", "")]
    return _facts(rows, ideas, "Serving")


def _facts(rows: Sequence[tuple[str, str, str]], said: Descriptions, title: str) -> Table:
    """A table of parts, their values, and what they say of themselves where any does."""
    words = [said.get(place, {}).get("is", "") for _, _, place in rows]
    if not any(words):
        return Table(("part", "value"), [row[:2] for row in rows], title)
    cells = [(name, value, what) for (name, value, _), what in zip(rows, words, strict=True)]
    return Table(("part", "value", "what it is"), cells, title, words=3)


def load_sentences(config: Config, recordings: Recordings, metrics: Mapping[str, float]) -> list[str]:
    """How many queries came how fast, by when they had to be answered, and what the instances' times are."""
    load, pool = _part(config, "load"), _part(config, "pool")
    sentences = []
    arrivals_s = recordings.arrivals_s
    measured = max((len(table) for table in recordings.queries.values()), default=0)
    if arrivals_s is not None and len(arrivals_s) < measured:
        sentences.append(
            f"{counted(len(arrivals_s), 'client')}; each sent its next query when its last was answered, so a slow "
            "policy gets fewer queries a second than a fast one."
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
    sentences += _frontend_sentences(config, prefix_of(metrics) == SIMULATED) + _capacity_sentences(metrics)
    floor_ms = pool.get("service_time_ms")
    if prefix_of(metrics) == SIMULATED:
        simulated = config.get("simulate") or {}
        mean_ms = simulated.get("service_time_ms") or floor_ms
        if mean_ms and not simulated.get("calibrate"):
            sentences.append(f"A task was taken to need {mean_ms:g} ms in the mean; nothing was computed.")
    elif floor_ms:
        sentences.append(
            f"Instances sleep until a task has taken {floor_ms:g} ms (pool.service_time_ms), burning no CPU, so that a "
            "small model behaves like a large one. The latencies here are not those of the model itself."
        )
    return sentences


def _frontend_sentences(config: Config, simulated: bool) -> list[str]:
    """Who served, where it was more than one."""
    frontends = config.get("frontends", 1)
    if not isinstance(frontends, int) or frontends <= 1:
        return []
    how = "in turn" if config.get("frontend_split") == "round_robin" else "at random"
    own = "with a policy, coding groups and queues of its own"
    own = own if simulated else f"a process {own}"
    return [
        f"The queries were split {how} over {frontends} frontends, each {own}; what they know of each other's work at "
        "the instances is late."
    ]


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
    """The name of a component's class."""
    if isinstance(node, Mapping):
        return class_of(node) if is_component(node) else UNKNOWN
    return UNKNOWN if node is None else str(node)


def _setting(value: object) -> str:
    if is_component(value):
        return describe(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} {_setting(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_setting(entry) for entry in value) + "]"
    return str(value)
