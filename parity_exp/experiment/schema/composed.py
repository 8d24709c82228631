"""Check what a command line has composed: choices that exclude or undo each other, then every value."""

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import DictConfig, OmegaConf

from parity_exp.errors import ConfigError
from parity_exp.experiment.command_line import place_of
from parity_exp.experiment.moved_keys import place_now
from parity_exp.experiment.schema.checks import check_config
from parity_exp.experiment.schema.config import CONFIG, Component, Named
from parity_exp.experiment.sections import REPORTED, ignored_by

SEVERAL = tuple(name for name, entry in CONFIG.items() if isinstance(entry, Named))
"""Groups of which several can be chosen."""

SINGLE = (
    *(name for name, entry in CONFIG.items() if isinstance(entry, Component)),
    "recipe",
    "setting",
    "distribution",
)
"""Groups of which one is chosen."""

GROUPS = (*SEVERAL, *SINGLE)

WITHOUT_NETWORKS = ("simulate",)

STORED = {"train": "resume", "simulate": "run", "load": "run"}
"""The keys by which commands take a stored run that may also do without."""

CHOICES = ("experiment", "recipe", "setting")
"""Groups whose choices are no section of their own."""


def check_composed(config: DictConfig, overrides: Sequence[str], command: str) -> None:
    """Refuse a config that cannot be, before anything is loaded, trained or written.

    Args:
        config: what Hydra has composed.
        overrides: the command line's, those of Hydra itself left out.
        command: what is to be done with it.

    Raises:
        ConfigError: with the key or override, and what was expected.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    _check_looked_at(config, overrides, command)
    if command == "report":
        check_config(OmegaConf.masked_copy(config, [key for key in REPORTED if key in config]))
        return
    for override in parsed:
        _check_choice(override)
    check_config(config, command not in WITHOUT_NETWORKS, complete=True)
    _check_names(config, parsed)
    if command != "endpoint" and not isinstance(config.get("run"), str | None):
        raise ConfigError(f"run={config.run}: {command} takes one run directory; give run=outputs/train/<date>/<time>")
    if command in ("train", "run"):
        _check_effects(config, parsed)
        _check_validation(config)


def _check_looked_at(config: DictConfig, overrides: Sequence[str], command: str) -> None:
    """Refuse what the command does not look at. Beside a stored run others do that, who know what it may change."""
    if command in STORED and config.get(STORED[command]) is not None:
        return
    ignored = [*ignored_by(command), *(CHOICES if command == "report" else ())]
    for override in overrides:
        section = re.split(r"[./]", place_now(place_of(override)))[0]
        if section not in ignored or (section == "run" and command in ("train", "run")):
            continue
        meant = {("report", "run"): "did you mean runs=?"}.get((command, section), "leave it out")
        raise ConfigError(f"{override}: {command} does not look at {section}, so that would change nothing; {meant}")


def _check_choice(override: Override) -> None:
    """Refuse several choices of a group that takes one, and the same one twice."""
    value = override.value()
    group = override.key_or_group
    if isinstance(value, dict) and group in GROUPS:
        raise ConfigError(
            f"{override.input_line}: a config group takes the name of a choice; its values are set one by one, as "
            f"{group}.NAME=VALUE"
        )
    if not isinstance(value, list) or "." in group:
        return
    names = [_text(one) for one in value]
    if group.rpartition("/")[2] in SINGLE:
        raise ConfigError(
            f"{override.input_line}: of {group} one is chosen; give {group}={names[0] if names else 'CHOICE'}, or "
            f"{group}=A,B with -m to try several"
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice and (group in SEVERAL or group == "experiment"):
        raise ConfigError(f"{override.input_line}: {twice[0]} is there twice; name each once")


def _check_names(config: DictConfig, parsed: Sequence[Override]) -> None:
    """Refuse choices that have the same name in the config, so that the last would silently be the only one."""
    last = {override.key_or_group: override for override in parsed}  # what is given twice counts as it was given last
    for group, override in last.items():
        value = override.value()
        if group not in SEVERAL or not isinstance(value, list):
            continue
        choices = [_text(one) for one in value if group != "straggler" or _text(one) != "none"]
        there = list(config.get(group) or {})
        if len(there) < len(choices):
            raise ConfigError(
                f"{override.input_line}: two of them have the same name, and only {', '.join(there)} would be left; "
                "leave one out"
            )


def _check_effects(config: DictConfig, parsed: Sequence[Override]) -> None:
    """Refuse what was given and would change nothing."""
    given = {override.key_or_group.partition(".")[0]: override for override in parsed if override.package is None}
    override = given.get("run")
    if override is not None and config.get("run") is not None:
        raise ConfigError(
            f"{override.input_line}: a training begins anew, so that would change nothing; leave it out, go on with a "
            "run by resume=, or give it to evaluate, serve, simulate or endpoint"
        )
    override = given.get("position_code")
    encoder = config.get("encoder")
    if override is not None and isinstance(encoder, DictConfig) and _text(override.value()) != "none":
        raw: Any = OmegaConf.to_yaml(encoder)
        if "position_code" not in raw:
            raise ConfigError(
                f"{override.input_line}: the encoder ({encoder.get('_target_')}) takes no position code, so that would "
                "change nothing; leave it out, or choose encoder=addition"
            )
    override = given.get("initialisation")
    if override is not None and not config.parity.trainable:
        raise ConfigError(
            f"{override.input_line}: with parity.trainable=false the base model runs the parity queries, so that would "
            "change nothing; leave it out, or set parity.trainable=true"
        )


def _check_validation(config: DictConfig) -> None:
    """Refuse a training that ends before it is first validated: it would have no best epoch."""
    every = config.trainer.get("check_val_every_n_epoch", 1)
    for key, trained in (("trainer", True), ("base", config.base.checkpoint is None)):
        if trained and every > config[key].max_epochs > 0:
            raise ConfigError(
                f"trainer.check_val_every_n_epoch={every}: training ends after {key}.max_epochs="
                f"{config[key].max_epochs}, before its first validation; lower the one or raise the other"
            )


def _text(value: Any) -> str:
    return str(value.text if isinstance(value, QuotedString) else value)
