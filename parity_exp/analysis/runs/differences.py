"""What differs between the configs of runs.

Configs become flat: ``trainer.max_epochs: 30``. A component is the name of its class, ``encoder: AdditionEncoder``,
with its settings below it, ``encoder.width: 20``; a node of several components is their names.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from parity_exp.recordings.descriptions import full_class_of, is_component

Flat = Mapping[str, Hashable]

OTHER_RUNS = ("run", "runs", "resume")
"""Keys that name other runs and describe nothing."""

NO_DIFFERENCE = ("outputs", "tracker", "dataset.root")
"""Places and trackers, which change no result."""

SERVING = (
    "redundancy", "straggler", "load", "pool", "queue", "frontends", "frontend_split", "backup", "multiplexed_backup",
    "simulate",
)  # fmt: skip
"""Parts of a config that say how a code is served, and nothing about how it is trained."""

ABSENT = "(absent)"


def flatten(config: Mapping[str, Any]) -> dict[str, Hashable]:
    """A config as one value a key."""
    flat: dict[str, Hashable] = {}
    for key, value in config.items():
        if key not in OTHER_RUNS:
            _flatten(str(key), value, flat)
    return flat


def _flatten(path: str, node: Any, flat: dict[str, Hashable]) -> None:
    if isinstance(node, Mapping):
        if is_component(node):
            flat[path] = full_class_of(node)
        elif all(isinstance(part, Mapping) for part in node.values()):
            flat[path] = ", ".join(map(str, node)) or "none"
        for key, value in node.items():
            if str(key)[:1] != "_":
                _flatten(f"{path}.{key}", value, flat)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        flat[path] = "[" + ", ".join(map(str, node)) + "]"
    else:
        flat[path] = node


def varying_keys(flats: Sequence[Flat]) -> dict[str, list[str]]:
    """Keys whose values differ between configs.

    A key that some configs lack, because a component without that setting stands in its place or because an earlier
    version wrote them, differs only if those that have it do.

    Returns:
        for each key those that go with it, with the same value in every config, such as ``base.seed`` with ``seed``.
    """
    columns: dict[str, list[Hashable]] = {}
    for at, flat in enumerate(flats):
        for key, value in flat.items():
            column = columns.get(key)
            if column is None:
                column = columns[key] = [ABSENT] * len(flats)
            column[at] = value
    leaders: dict[tuple[Hashable, ...], str] = {}
    keys: dict[str, list[str]] = {}
    for key, column in sorted(columns.items(), key=lambda pair: (pair[0].count("."), len(pair[0]))):
        if len(set(column) - {ABSENT}) > 1:
            leader = leaders.setdefault(tuple(column), key)
            if leader == key:
                keys[key] = []
            else:
                keys[leader].append(key)
    order = list(columns)
    return dict(sorted(keys.items(), key=lambda pair: order.index(pair[0])))


def is_seed(key: str) -> bool:
    """Whether a key is for chance alone, so that runs which differ by it are repetitions."""
    return key.rpartition(".")[2].endswith("seed")


def within(key: str, parts: Collection[str]) -> bool:
    """Whether a key is one of some parts of a config, or below one."""
    return any(key == part or key.startswith(f"{part}.") for part in parts)


def variants(flats: Sequence[Flat], but: Collection[str], only: Collection[str] = ()) -> list[str]:
    """For each config what sets it apart from the others, as ``key=value`` words; seeds and places do not count.

    Args:
        flats: configs.
        but: parts that are told elsewhere.
        only: parts that count; all where it is empty.
    """
    told = {*but, *NO_DIFFERENCE}
    keys = [
        key
        for key in varying_keys(flats)
        if not is_seed(key) and not within(key, told) and (not only or within(key, only))
    ]
    return [
        " ".join(f"{key}={written(flat[key])}" for key in keys if key in flat and flat[key] is not None)
        for flat in flats
    ]


def component_labels(flats: Sequence[Flat], key: str, suffix: str = "") -> list[str]:
    """A short name for a component of each config, with those of its settings that differ between its namesakes.

    Args:
        flats: configs.
        key: where the component is, such as ``encoder``.
        suffix: left off from names of classes, ``Encoder``.
    """
    names = [_component_name(flat, key, suffix) for flat in flats]
    labels = list(names)
    for name in dict.fromkeys(names):
        places = [at for at, other in enumerate(names) if other == name]
        parts = [
            {setting: value for setting, value in flats[at].items() if setting.startswith(f"{key}.")} for at in places
        ]
        told = [word.replace(f"{key}.", "") for word in variants(parts, (f"{key}.name",))]
        for at, words in zip(places, told, strict=True):
            labels[at] = f"{name} ({words})" if words else name
    return labels


def _component_name(flat: Flat, key: str, suffix: str) -> str:
    named = flat.get(f"{key}.name")
    if named is not None:
        return str(named)
    name = str(flat.get(key, "-")).rpartition(".")[2].removesuffix(suffix)
    return name.lower() if suffix and name.istitle() else name


def written(value: object, longest: int = 60) -> str:
    """A value as people read it, not too long."""
    if isinstance(value, float):
        return f"{value:g}"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
