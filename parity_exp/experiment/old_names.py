"""Experiments under their names of earlier releases: still there for a release, with a line that says the new name.

Hydra asks for an old name as for any config, and gets one that is made of the new choices. So it works wherever a name
of an experiment does: alone, in lists of a multirun, and in the defaults of somebody's own experiments; whatever stands
beside it on the command line wins. Lists of choices do not have it.
"""

import shlex
import sys
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

GROUP = "experiment"
"""The group whose choices have old names."""

FILE = "old_names.yaml"
"""The table of old names, beside the primary config."""


@cache
def renamed(config_folder: str) -> dict[str, str]:
    """What each old name of an experiment is now, as on the command line."""
    table: dict[str, dict[str, str]] = yaml.safe_load((Path(config_folder) / FILE).read_text(encoding="utf-8"))
    return table["experiments"]


def as_config(now: str, config_folder: str) -> dict[str, Any]:
    """Overrides as the content of a config file that says the same.

    Args:
        now: the overrides as on the command line.
        config_folder: whose folders are the groups.
    """
    defaults: list[Any] = []
    values = OmegaConf.create({})
    for override in OverridesParser.create().parse_overrides(shlex.split(now)):
        key, value = override.key_or_group, override.value()
        if key == GROUP:
            defaults.insert(0, f"/{GROUP}/{value}")
        elif (Path(config_folder) / key).is_dir():
            defaults.append({f"override /{key}": value})
        else:
            OmegaConf.update(values, key, getattr(value, "text", value))
    given: Any = OmegaConf.to_container(values)
    return {"defaults": [*defaults, "_self_"], **given}


class OldNamesSource(ConfigSource):
    """Where Hydra finds the experiments of the table."""

    told: ClassVar[set[str]] = set()
    """Names that were said to be old ones."""

    @staticmethod
    def scheme() -> str:
        return "parity-exp-old-names"

    def available(self) -> bool:
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        name = self._name(config_path)
        now = renamed(self.path)[name]
        if name not in self.told:
            self.told.add(name)
            print(f"{GROUP}={name} is now {now}; the old name works in this release alone", file=sys.stderr)
        config = OmegaConf.create(as_config(now, self.path))
        return ConfigResult(self.provider, f"{self.scheme()}://{self.path}", config, {"package": "_global_"})

    def is_group(self, config_path: str) -> bool:
        return any(f"{GROUP}/{name}".startswith(f"{config_path.rstrip('/')}/") for name in renamed(self.path))

    def is_config(self, config_path: str) -> bool:
        return config_path.startswith(f"{GROUP}/") and self._name(config_path) in renamed(self.path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return []

    @staticmethod
    def _name(config_path: str) -> str:
        return config_path.removeprefix(f"{GROUP}/").removesuffix(".yaml")


class OldNamesSearchPath(SearchPathPlugin):
    """Makes Hydra ask for old names after everything else, in programs that use the configs of this package."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for element in list(search_path.get_path()):
            folder = str(element.path).removeprefix("file://")
            if element.provider == "main" and (Path(folder) / FILE).is_file():
                search_path.append(provider="parity_exp", path=f"{OldNamesSource.scheme()}://{folder}")
