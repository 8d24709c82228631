"""Bad values for every key that the config groups have, made from the values that stand there: each is refused in one
line that names the key, and whatever is let pass can be made.

Nothing here knows what the schema says; what may pass is judged by the default's type, with the exceptions written out.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from parity_exp.errors import ConfigError, UserError
from parity_exp.experiment.components import build
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.schema import check_config, component_at

HUGE = 10**20
TEXT, NUMBERS = "no-such-word", (-1, 0, HUGE, float("inf"), float("nan"), 0.5)
BAD = (*NUMBERS, True, None, TEXT, "", [], [-1], [0], [HUGE], [TEXT], [None], {}, {"a": 1})

TEXTS = {
    "outputs", "run", "runs", "resume", "checkpoint", "calibrate", "root", "cache", "path", "name", "entity", "address",
    "project", "tags", "devices", "accelerator", "strategy", "text", "label", "split", "separator", "encoding",
    "checkpoints", "tokenizer", "host", "model", "token_file", "tls_cert", "tls_key", "log_type",
    "model_version", "input", "output", "tls_ca", "ray", "only",
}  # fmt: skip
"""Keys whose text is free: files, folders, names, and what other libraries make of it."""

MAY_BE_NEGATIVE = {"shift", "mean", "num_sanity_val_steps", "devices"}
"""-1 passes: a number of any sign, and Lightning's word for all."""

MAY_BE_NULL = {
    "convolutional",
    "extra_outputs",
    "max_lr",
    "slo_ms",
    "root",
    "fused",
    "benchmark",
    "grpc_port",
    "anytime_ms",
}
"""Null passes though the default is another value: then the class decides."""

OPEN = {
    "deterministic", "cuda_graphs", "channels_last", "convolutional", "convolutions_apart", "encoder", "decoder",
    "apart", "binary",
}  # fmt: skip
"""True or false pass though the default is neither: of these somebody decides."""

SEVERAL = {"redundancy", "straggler"}
"""Sections of components by names."""

MAPPINGS = {"sweep", "rivals", "per_instance", "runtime_env"}

NO_LIST = {"pool.devices", "trainer.devices", "runs", "plan.slo_ms", "plan.slo_times_p50"}
"""Takes a list as well as a single value."""


JUDGED_WHEN_MADE = ("straggler.phases.parts.",)
"""Keys within what a class takes as it is; that it refuses what cannot be when it is made,
tests/disturbances/test_changing.py shows."""


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def everything() -> Iterator[list[str]]:
    """Overrides that choose everything there is, in as few configs as possible."""
    groups = [
        "dataset", "architecture", "position_code", "generator", "objective", "optimizer", "scheduler", "code",
        "initialisation", "trainer", "tracker", "load", "pool", "queue",
    ]  # fmt: skip
    places = {group: group for group in groups} | {"distribution@simulate.service_time": "distribution"}
    named = {place: choices(group) for place, group in places.items()}
    named["encoder"] = [one for one in choices("encoder") if one != "addition"] + ["addition"]
    named["decoder"] = choices("decoder")
    named["straggler/distribution@straggler.slowdown.distribution"] = choices("straggler/distribution")
    several = {
        "redundancy": choices("redundancy"),
        "straggler": [one for one in choices("straggler") if "_" not in one],
    }
    simulated = [*(one for one in several["straggler"] if one != "multitenancy"), "multitenancy_simulated"]
    for at in range(max(map(len, named.values()))):
        # Those of which a config may have several are all in the first two; the others are composed sooner without.
        policies = several["redundancy"] if at == 0 else ["none"]
        stragglers = several["straggler"] if at == 0 else simulated if at == 1 else ["slowdown"]
        yield [
            f"redundancy=[{','.join(policies)}]",
            f"straggler=[{','.join(stragglers)}]",
            *(f"{place}={names[at % len(names)]}" for place, names in named.items() if place != "code"),
            *(["backup.architecture.hidden=[3]"] if not at else []),
        ]


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", list(overrides))
    plain = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    assert isinstance(plain, DictConfig)
    return plain


def leaves(node: Any, place: str = "") -> Iterator[tuple[str, str, Any]]:
    """Each value with its place and the class that takes it."""
    for name, value in node.items():
        key = f"{place}.{name}".lstrip(".")
        if isinstance(value, DictConfig):
            yield from leaves(value, key)
        if not (isinstance(value, DictConfig) and value):
            plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            yield key, str(node.get("_target_")), plain


@cache
def every_key() -> dict[tuple[str, str], tuple[DictConfig, Any]]:
    """For each key and class the config that has it, and its value there."""
    found: dict[tuple[str, str], tuple[DictConfig, Any]] = {}
    for overrides in everything():
        config = composed(*overrides)
        for key, target, value in leaves(config):
            found.setdefault((key, target), (config, value))
    return found


@contextmanager
def section_with(config: DictConfig, key: str, value: Any) -> Iterator[DictConfig]:
    """The part of a config in which a key is, with another value there for as long as the block lasts."""
    parts = key.split(".")
    depth = 2 if parts[0] in SEVERAL and len(parts) > 2 else 1
    section = section_of(id(config), *parts[:depth])
    before = OmegaConf.select(section, key)
    OmegaConf.update(section, key, value, merge=False)
    try:
        yield section
    finally:
        OmegaConf.update(section, key, before, merge=False)


@cache
def section_of(config: int, top: str, name: str | None = None) -> DictConfig:
    """A copy of a part of one of the composed configs, made once: there are thousands of values to try in it.

    Args:
        config: identity of the whole.
        top: its section.
        name: the one component that the section is to have; None: all of it.
    """
    whole = next(one for one, _ in every_key().values() if id(one) == config)
    section = OmegaConf.masked_copy(whole, [top]).copy()
    if name is not None:
        section[top] = OmegaConf.masked_copy(section[top], [name])
    return section


def may_pass(key: str, default: Any, value: Any) -> bool:
    """Whether a value may be a good one, judged by the default."""
    name = key.rpartition(".")[2]
    if isinstance(value, float) and value != 0.5:
        return False
    if isinstance(value, list) and value:
        inside = default if key in NO_LIST else default[0] if isinstance(default, list) and default else None
        listed = isinstance(default, list) or default is None or key in NO_LIST or name == "tags"
        return listed and value[0] is not None and may_pass(key, inside, value[0])
    if value == [] or isinstance(value, list):
        return isinstance(default, list) or default is None
    if isinstance(value, dict):
        return name in MAPPINGS
    if value is None:
        return default is None or name in MAY_BE_NULL
    if value == HUGE:
        return name == "lr"  # training tells that it diverges
    if value == -1 and name not in MAY_BE_NEGATIVE:
        return False
    if isinstance(value, str):
        return value != "" and name in TEXTS
    if isinstance(value, bool):
        return isinstance(default, bool) or name in OPEN
    if isinstance(default, bool):
        return False
    if default is None:
        return name not in TEXTS
    if value == 0.5 and isinstance(value, float):
        return isinstance(default, float | int) and not name.endswith(("epochs", "epoch", "seed", "instances"))
    return isinstance(default, int | float) or key in NO_LIST or isinstance(default, list)


def test_every_choice_of_every_group_is_valid() -> None:
    for overrides in everything():
        check_config(composed(*overrides), complete=True)


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_bad_values_of_every_key_are_refused_in_a_line_that_names_it(step: int) -> None:
    assert len(every_key()) > 250
    wrong = []
    tried = itertools.islice(every_key().items(), 0, None, step)
    for ((key, target), (config, default)), value in itertools.product(tried, BAD):
        name = key.rpartition(".")[2]
        if name.startswith("_") or value == default or key.startswith(JUDGED_WHEN_MADE):
            continue
        try:
            with section_with(config, key, value) as section:
                check_config(section, complete=False)
        except ConfigError as error:
            line = str(error)
            if not line.startswith(key) or "\n" in line or len(line) > 400:
                wrong.append(f"{key}={value!r}: {line}")
            continue
        if not may_pass(key, default, value):
            wrong.append(f"{key}={value!r} passes ({target}, where {default!r} is the default)")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_the_default_passes_and_a_key_of_another_name_does_not() -> None:
    for (key, _), (config, default) in every_key().items():
        with section_with(config, key, default) as section:
            check_config(section, complete=False)
        parent, _, name = key.rpartition(".")
        if parent.partition(".")[0] in {"sweep", *SEVERAL} or "weights" in parent or not parent:
            continue
        section = OmegaConf.masked_copy(config, [key.partition(".")[0]]).copy()
        if OmegaConf.select(section, parent).get("_target_", "").endswith("TorchvisionNetwork"):
            continue  # whose options torchvision knows
        OmegaConf.update(section, f"{parent}.{name}_", default, force_add=True)
        with pytest.raises(ConfigError) as refusal:
            check_config(OmegaConf.merge(config, section), complete=True)
        assert str(refusal.value).startswith(f"{parent}.{name}_")


PROGRAMS = {"redundancy": {"k": 2, "r": 2}, "backup": {}, "load": {}, "straggler": {}, "tracker": {}, "pool": {}}
"""Parts that can be made without data or networks, with what the program gives them."""


@pytest.mark.slow
def test_what_passes_can_be_made_or_is_refused_by_its_class() -> None:
    made = 0
    for ((key, target), (config, _)), value in itertools.product(every_key().items(), BAD):
        parts = key.split(".")
        depth = 2 if parts[0] in SEVERAL else 1
        if parts[0] not in {*SEVERAL, "load", "pool", "tracker"} or len(parts) <= depth:
            continue
        node = ".".join(parts[:depth])
        with section_with(config, key, value) as section:
            try:
                check_config(section)
            except ConfigError:
                continue
            settings = OmegaConf.select(section, node)
            if "code" in settings or target.endswith(("Coded", "RayPool", "ImageFolder")) or parts[-1].startswith("_"):
                continue
            assert component_at(node) is not None
            try:
                build(settings, node, **PROGRAMS[parts[0]])
                made += 1
            except UserError as refusal:
                assert "\n" not in str(refusal)
    assert made > 100
