"""Configs are composed in half the time, which is most of what a command takes that is refused.

What Hydra does over and over is done once, and what it does for nothing is left out; what comes of it is the same. It
holds in the tests' own processes: jobs that tests start compose as they do for users.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import hydra._internal.defaults_list as defaults_list
import pytest
import yaml
from hydra._internal.hydra import Hydra
from hydra.core.default_element import InputDefault
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader


def quick_hydra(patch: pytest.MonkeyPatch) -> None:
    _ask_for_the_mode_only_where_it_may_be_set(patch)
    _know_choices_only_where_they_are_asked_for(patch)
    _parse_a_text_once(patch)
    _go_through_what_is_merged_only(patch)


def _ask_for_the_mode_only_where_it_may_be_set(patch: pytest.MonkeyPatch) -> None:
    """Hydra composes each config twice, the first time for nothing but ``hydra.mode``."""
    compose_and_ask = Hydra.get_mode

    def ask(hydra: Hydra, config_name: str | None, overrides: list[str]) -> object:
        may_be_set = any("hydra.mode" in word or "searchpath" in word for word in overrides)
        return compose_and_ask(hydra, config_name, overrides) if may_be_set else None

    patch.setattr(Hydra, "get_mode", ask)


def _know_choices_only_where_they_are_asked_for(patch: pytest.MonkeyPatch) -> None:
    """For every default Hydra makes a config of all choices, in case that the default's name has an interpolation."""
    make, resolve = defaults_list._create_interpolation_map, InputDefault._resolve_interpolation_impl

    def make_later(*arguments: Any) -> Callable[[], Any]:
        return functools.cache(lambda: make(*arguments))

    def resolve_where_needed(default: InputDefault, known: Callable[[], Any], name: str) -> str:
        return resolve(default, known(), name) if "${" in name else name

    patch.setattr(defaults_list, "_create_interpolation_map", make_later)
    patch.setattr(InputDefault, "_resolve_interpolation_impl", resolve_where_needed)


def _parse_a_text_once(patch: pytest.MonkeyPatch) -> None:
    load = OmegaConf.load

    @functools.cache
    def parsed(text: str) -> object:
        return yaml.load(text, Loader=get_yaml_loader())

    def load_parsed(file: str | Path | IO[str]) -> Any:
        text = file.read() if hasattr(file, "read") else Path(file).read_text(encoding="utf-8")
        try:
            content = parsed(text)
        except yaml.YAMLError:
            content = None
        if isinstance(content, dict | list):
            return OmegaConf.create(content)  # which copies it
        return load(io.StringIO(text) if hasattr(file, "read") else file)

    patch.setattr(OmegaConf, "load", load_parsed)


def _go_through_what_is_merged_only(patch: pytest.MonkeyPatch) -> None:
    """After each of fifty merges OmegaConf tells every node of the whole config its parent."""
    tell_all = DictConfig._re_parent
    merge = DictConfig._merge_with

    def merge_and_tell(config: DictConfig, *others: Any, **more: Any) -> None:
        plain = all(isinstance(other, DictConfig) and isinstance(other._content, dict) for other in others)
        merged = {key for other in others for key in other._content} if plain else None
        before = config.__dict__.get("_merged")
        config.__dict__["_merged"] = merged
        try:
            merge(config, *others, **more)
        finally:
            config.__dict__["_merged"] = before

    def tell(config: DictConfig) -> None:
        merged = config.__dict__.get("_merged")
        if merged is None or not isinstance(config._content, dict):
            tell_all(config)
            return
        for key in merged & config._content.keys():
            value = config._content[key]
            value._set_parent(config)
            if isinstance(value, Container):
                value._re_parent()

    patch.setattr(DictConfig, "_merge_with", merge_and_tell)
    patch.setattr(DictConfig, "_re_parent", tell)
