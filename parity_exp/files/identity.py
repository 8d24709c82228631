"""What a result was made from: facts by key, their hash, and what differs between two of them.

Whatever is kept to be gone on with, used again or written over, carries its facts. Who finds it compares them with
their own, and takes it only where they are the same.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b, sha256
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity_exp.files.moved_keys import moved_facts
from parity_exp.files.writing import write_text

if TYPE_CHECKING:
    from torch import Tensor

FILE = "identity.json"
"""Where a run directory and a cached model keep what they were made from."""

MOST_SHOWN = 6
"""Differences that a message shows."""

LIBRARIES = ("parity_exp", "torch", "torchvision", "pytorch_lightning", "lightning")
"""Packages whose classes do not change between two jobs."""

MOST_FILES = 1_000
"""Source files of a user's package that are looked at."""


Facts = Mapping[str, Any]
"""Plain values by flat key: ``{"k": 2, "trainer.max_epochs": 30}``."""


def flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping of plain values as one value a key; lists stay whole."""
    facts: dict[str, Any] = {}
    for name, value in node.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            facts |= flat(value, f"{key}.")
        else:
            facts[key] = value
    return facts


def without(facts: Facts, parts: Collection[str]) -> dict[str, Any]:
    """Facts that are not one of some parts, nor below one, nor of the content of what one names."""
    ignored = tuple(f"{part}{mark}" for part in parts for mark in (".", " "))
    return {key: value for key, value in facts.items() if key not in parts and not key.startswith(ignored)}


def hashed(facts: Facts) -> str:
    """The hash of facts, 16 characters."""
    return sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def differences(earlier: Facts, now: Facts) -> list[str]:
    """What differs, as ``k (2 there, 4 here)``; a key that one of them lacks is ``absent``."""
    keys = [key for key in {**earlier, **now} if _plain(earlier, key) != _plain(now, key)]
    return [f"{key} ({_shown(earlier, key)} there, {_shown(now, key)} here)" for key in keys]


def listed(differing: list[str]) -> str:
    """Differences in a line."""
    rest = f" and {len(differing) - MOST_SHOWN} more" if len(differing) > MOST_SHOWN else ""
    return ", ".join(differing[:MOST_SHOWN]) + rest


def _plain(facts: Facts, key: str) -> str:
    # As JSON keeps it, for one of the two has been in a file.
    return json.dumps(facts[key], sort_keys=True, default=str) if key in facts else "absent"


def _shown(facts: Facts, key: str) -> str:
    value = _plain(facts, key).strip('"')
    return value if len(value) <= 60 else f"{value[:57]}..."


def digest_of_files(paths: Iterable[Path]) -> str:
    """The hash of the names and contents of files, 16 characters."""
    digest = blake2b(digest_size=8)
    for path in sorted(paths):
        digest.update(f"{path.name}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def digest_of_weights(weights: "Mapping[str, Tensor]") -> str:
    """The hash of a state_dict, 16 characters."""
    import torch  # slow to import, and not needed by who compares folders

    digest = blake2b(digest_size=8)
    for name, tensor in weights.items():
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(plain.shape)} {plain.dtype}\0".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def sources_of(target: str) -> Iterator[Path]:
    """The source files behind a class's dotted name, where it is of none of :data:`LIBRARIES`; nothing is imported."""
    names = target.split(".")
    if names[0] in LIBRARIES:
        return
    try:
        spec = PathFinder.find_spec(names[0])
        while spec is not None:
            yield from _files_of(spec)
            places = spec.submodule_search_locations
            spec = PathFinder.find_spec(f"{spec.name}.{names[spec.name.count('.') + 1]}", places) if places else None
    except (ImportError, IndexError, OSError, ValueError):
        return


def _files_of(spec: ModuleSpec) -> list[Path]:
    """A module's file; of a package of the user's all of its files, of an installed one its own."""
    if spec.origin is None or not spec.origin.endswith(".py"):
        return []
    origin = Path(spec.origin)
    if spec.submodule_search_locations is None or "." in spec.name or "site-packages" in origin.parts:
        return [origin]
    return sorted(origin.parent.rglob("*.py"))[:MOST_FILES]


@dataclass(frozen=True)
class Identity:
    """What a folder of results was made from.

    Attributes:
        command: that made it.
        config: the config's facts, as they were composed.
        content: facts that a config only names: hashes of data, files, and the user's own code.
        overrides: what the command line said, for tables.
    """

    command: str
    config: Facts
    content: Facts = field(default_factory=dict)
    overrides: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return hashed({"command": self.command, "config": self.config, "content": self.content})

    def differences(self, now: "Identity", ignored: Collection[str] = ()) -> list[str]:
        """What differs from this in another identity, but for some parts of the config."""
        command = differences({"command": self.command}, {"command": now.command})
        config = differences(without(self.config, ignored), without(now.config, ignored))
        # What a job has not looked at does not differ: the folder is compared before data are read.
        both = self.content.keys() & now.content.keys()
        content = differences(*({key: one.content[key] for key in sorted(both)} for one in (self, now)))
        return command + config + content

    def write(self, folder: Path) -> None:
        content = {
            "key": self.key,
            "command": self.command,
            "overrides": list(self.overrides),
            "config": self.config,
            "content": self.content,
        }
        write_text(folder / FILE, json.dumps(content, indent=2, default=str) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Identity | None":
        """The identity of a folder; None where it has none, or a damaged one."""
        try:
            stored = json.loads((folder / FILE).read_text())
            found = cls(stored["command"], stored["config"], stored["content"], tuple(stored["overrides"]))
            return replace(found, config=moved_facts(found.config)) if found.key == stored["key"] else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
