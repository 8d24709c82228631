"""What a run that a program has started says of itself in its folder, in the form of a command's config.

It is for people and reports: the classes of what was given, and those of their settings that are plain values. A
command has written its own config, from which it can be started again, and that stays.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from parity_exp.process.side_channels import beside
from parity_exp.recordings.descriptions import write_descriptions
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.scenario.scenario import Scenario

PLAIN = (bool, int, float, str, type(None))


def describe(folder: Path, scenario: Scenario, more: Mapping[str, Any]) -> None:
    """Write the config and the environment of a run into its folder, unless a command has.

    Args:
        folder: where.
        scenario: what was served or simulated.
        more: further parts of the config, such as ``pool``; objects, or plain values.
    """
    run = RunDirectory(folder)
    if run.config.is_file():
        return
    queue = scenario.queue.func if isinstance(scenario.queue, partial) else scenario.queue
    parts = {
        "redundancy": dict(scenario.made),
        "straggler": dict(scenario.stragglers),
        "load": scenario.load,
        "queue": queue,
        **more,
    }
    described = {name: _described(one) for name, one in parts.items()}
    pool = {
        "instances": scenario.instances,
        "batch_size": scenario.batch_size,
        "batch_window_ms": scenario.window_s * 1e3,
    }
    policies = list(scenario.made.values())
    counts: dict[str, Any] = {"k": policies[0].k, "r": policies[0].r, "seed": scenario.seed}
    counts |= {"frontends": scenario.frontends, "frontend_split": scenario.frontend_split}
    run.write_config({**counts, **described, "pool": {**(described.get("pool") or {}), **pool}})
    run.write_environment(scenario.seed, [])
    with beside("descriptions of components"):
        write_descriptions(folder, _classes(parts))


def _described(value: Any) -> Any:
    """A plain value, or the class of an object and those of its settings that are plain."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Mapping):
        return {str(name): _described(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_described(one) for one in value]
    made = value if isinstance(value, type) else type(value)
    settings = {} if made is value else {name: getattr(value, name) for name in _names(made) if hasattr(value, name)}
    plain = {name: one for name, one in settings.items() if isinstance(one, PLAIN)}
    return {"_target_": f"{made.__module__}.{made.__qualname__}", **plain}


def _names(made: type) -> list[str]:
    try:
        parameters = inspect.signature(made).parameters
    except (TypeError, ValueError):
        return []
    return [name for name in parameters if name not in ("k", "r")]


def _classes(parts: Mapping[str, Any]) -> dict[str, type]:
    """The class of each component by its place."""
    classes: dict[str, type] = {}
    for name, part in parts.items():
        if isinstance(part, Mapping):
            classes |= {f"{name}.{one}": type(made) for one, made in part.items() if not isinstance(made, PLAIN)}
        elif not isinstance(part, PLAIN):
            classes[name] = part if isinstance(part, type) else type(part)
    return classes
