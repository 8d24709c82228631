"""The config as a command line composes it, outside of a job, and what there is to choose from."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from parity_exp.experiment.command_line import parsed

LONGEST_VALUE = 24

PACKAGE = "# @package"


@dataclass(frozen=True)
class Composed:
    """A config and where it comes from.

    Attributes:
        config: as the overrides make it.
        loader: knows what there is to choose from.
        overrides: those that it was composed with.
    """

    config: DictConfig
    loader: ConfigLoader
    overrides: list[str]

    def default(self, example: str) -> str:
        """What the key or group of an override is without it, in a word or two."""
        override = parsed(example)
        assert override is not None, example
        group = override.get_key_element().lstrip("+~")
        if self.is_group(group):
            return ", ".join(self.chosen(group)) or "none"
        value = OmegaConf.select(self.config, group)
        text = _plain(value)
        return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."

    def is_group(self, name: str) -> bool:
        """Whether it is a group of the config, with ``@`` and a package or without."""
        return bool(self._options(name.partition("@")[0], None))

    def chosen(self, group: str) -> list[str]:
        """The choices of a group that are taken; none where it is left out."""
        choices = self.config.hydra.runtime.choices
        if group in choices:
            return [] if choices[group] is None else [str(choices[group])]
        return list(dict.fromkeys(path.rpartition("/")[2] for path in self._paths if path.rpartition("/")[0] == group))

    @cached_property
    def _paths(self) -> list[str]:
        """Every part that the config is made of, ``straggler/shuffle``."""
        tree = self.loader.compute_defaults_list("config", self.overrides, RunMode.RUN)
        return [str(one.config_path) for one in tree.defaults]

    def choices(self, group: str) -> list[str]:
        """What can be chosen of a group, those in its folders left out."""
        return self._options(group, ObjectType.CONFIG)

    def folders(self, group: str) -> list[str]:
        """The folders in a group's folder."""
        return self._options(group, ObjectType.GROUP)

    def _options(self, group: str, kind: ObjectType | None) -> list[str]:
        """Names in a group's folders; Hydra reads the whole config again for folders that the config adds."""
        if self.config.hydra.searchpath:
            return sorted(self.loader.get_group_options(group, kind, "config", self.overrides))
        return sorted(self.loader.get_group_options(group, kind))

    def comment(self, choice: str) -> str:
        """What a choice's file says at its top; nothing where it says nothing, or is no file.

        Args:
            choice: group and choice, ``experiment/parm/fig9a``.
        """
        own = [str(place) for place in self.config.hydra.searchpath]
        places = [source.full_path() for source in self.loader.get_sources()] + own
        for place in places:
            file = Path(unquote(urlparse(place).path), f"{choice}.yaml")
            if place.startswith("file://") and file.is_file():
                return _first_comment(file.read_text(encoding="utf-8"))
        return ""


@contextmanager
def composed(config_folder: Path, overrides: Sequence[str]) -> Iterator[Composed]:
    """Compose the config inside the block.

    Args:
        config_folder: where ``config.yaml`` is.
        overrides: a command line's.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder.absolute()), version_base="1.3"):
        config = compose("config", overrides=list(overrides), return_hydra_config=True)
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield Composed(config, hydra.config_loader, list(overrides))


def _plain(value: Any) -> str:
    """A config's value as a command line would have it."""
    if isinstance(value, ListConfig):
        return f"[{','.join(map(_plain, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _first_comment(content: str) -> str:
    """The sentences before a YAML file's first value, in one line."""
    lines = []
    for line in content.splitlines():
        if line.startswith(PACKAGE):
            continue
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return " ".join(lines)
