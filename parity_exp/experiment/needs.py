"""What a config's code needs to give lost predictions back, for commands that make no code: its class says it."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from parity_exp.errors import ConfigError
from parity_exp.experiment.components import is_systematic
from parity_exp.experiment.schema import find
from parity_exp.policies.needs import Needs
from parity_exp.recordings.run_directory import RunDirectory


def declared_needs(config: DictConfig) -> Needs | None:
    """What the decoder needs whose class and settings the config gives; no network is made, and nothing is loaded.

    Args:
        config: the resolved config, or the config of a run.

    Returns:
        None where the code has no decoder of its own.

    Raises:
        ConfigError: there is no such class, or it does not say what it needs.
    """
    node = config.get("decoder")
    if not is_systematic(config) or node is None:
        return None
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise ConfigError(f"decoder={node}: expected the settings of a config group; to choose from it, write decoder=")
    decoder = _class("decoder", node)
    if not hasattr(decoder, "needs_of"):
        raise ConfigError(f"decoder._target_={node._target_}: expected a subclass of parity_exp.coding.Decoder")
    settings: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    if settings.get("apart", True) is None:
        settings["apart"] = are_apart(config)
    needs = decoder.needs_of(config.k, config.r, **{name: one for name, one in settings.items() if name[0] != "_"})
    if not isinstance(needs, Needs):
        raise ConfigError(f"decoder ({node._target_}): its needs_of gave {needs!r}; expected Needs(k, members)")
    return needs


def settle_places(config: DictConfig, run: RunDirectory) -> None:
    """Put into a run's config whether places are apart, where it leaves that open and the run has its checkpoints.

    Training tries networks that declare nothing; of what it chose from, only places apart decode without weights.
    """
    checkpoint = run.checkpoint("decoder")
    if OmegaConf.select(config, "decoder.apart", default=True) is None and checkpoint.is_file():
        from parity_exp.models.checkpoint import load_content  # torch with it

        config.decoder.apart = not load_content(checkpoint, "run")["state_dict"]


def are_apart(config: DictConfig) -> bool:
    """Whether encoder and parity models keep the queries of a group apart, as far as their classes declare it."""
    encoder = config.get("encoder")
    parity = config.get("parity") or {}
    if not isinstance(encoder, DictConfig) or not parity.get("trainable", True):
        return False
    architecture = parity.get("architecture") or config.get("architecture")
    if not isinstance(architecture, DictConfig):
        return False
    sees = getattr(_class("architecture", architecture), "sees_places", False)
    return bool(getattr(_class("encoder", encoder), "keeps_queries_apart", False) and sees)


def _class(key: str, node: DictConfig) -> Any:
    target = str(node.get("_target_"))
    try:
        return find(target)
    except ImportError as error:
        raise ConfigError(f"{key}._target_={target}: {str(error).splitlines()[0]}") from None
