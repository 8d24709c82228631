"""From the sections generator, encoder, decoder and code of a config to a code, and which of its parts are trained."""

import inspect
import math
import pydoc
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from parity_exp.coding import Code, Decoder, Encoder, precision
from parity_exp.data import Splits
from parity_exp.errors import ConfigError
from parity_exp.experiment.components import build, build_checked
from parity_exp.experiment.networks import architecture_of, keeps_places_apart, new_labelled_network
from parity_exp.experiment.open_keys import filled, is_open
from parity_exp.training.coded_model import DECODER, ENCODER, PARITY
from parity_exp.training.seeded import CODE_WEIGHTS, seeded


def generator_of(config: DictConfig) -> Tensor:
    """The generator matrix, ``(r, k)``.

    Raises:
        ConfigError: a pattern of up to r losses cannot be repaired with it.
    """
    generator: Tensor = build(config.generator, "generator").matrix(config.k, config.r)
    if not precision.growth(generator) < precision.SINGULAR:
        raise ConfigError(
            f"generator ({config.generator.get('_target_')}): with k={config.k} and r={config.r} some losses cannot be "
            "repaired, for a square part of its matrix has no inverse; choose generator=chebyshev"
        )
    return generator


def code_of(config: DictConfig, splits: Splits, generator: Tensor) -> Code:
    """Encoder and decoder with their first weights, as one object.

    Raises:
        ConfigError: parts that do not go together, or are to be trained and cannot be.
    """
    shape, outputs = splits.query_shape, (splits.task.outputs,)
    counts = {"k": config.k, "r": config.r, "generator": generator}
    with seeded(config.seed, CODE_WEIGHTS):
        encoder = build(_encoder_node(config, splits), "encoder", query_shape=shape, **counts)
        decoder = build(_decoder_node(config, encoder, outputs), "decoder", output_shape=outputs, **counts)
    if not config.parity.trainable and encoder.parity_shape != encoder.query_shape:
        raise ConfigError(
            f"parity.trainable=false: the base model reads queries of shape {encoder.query_shape}, and parity queries "
            f"of encoder ({type(encoder).__name__}) have the shape {encoder.parity_shape}; set parity.trainable=true"
        )
    _check_extra_outputs(config, decoder)
    _check_places(config, encoder, decoder)
    for key, part in ((ENCODER, encoder), (DECODER, decoder)):
        if _is_trainable(config, key, part) and not list(part.parameters()):
            name = type(part).__name__
            raise ConfigError(f"trainable.{key}=true: {name} has nothing to train; leave trainable.{key} out")
    if config.get("code") is None:
        return Code(encoder, decoder)
    return build_checked(config.code, "code", Code, encoder=encoder, decoder=decoder)


def trained_parts(config: DictConfig, code: Code) -> frozenset[str]:
    """Which parts of a coded model are trained."""
    coders = {ENCODER: code.encoder, DECODER: code.decoder}
    trained = {key for key, part in coders.items() if _is_trainable(config, key, part)}
    return frozenset(trained | ({PARITY} if config.parity.trainable else set()))


def _is_trainable(config: DictConfig, key: str, part: nn.Module) -> bool:
    """What the config says; where it says nothing, parts with parameters are trained."""
    trainable = OmegaConf.select(config, f"trainable.{key}")
    return bool(list(part.parameters())) if trainable is None else bool(trainable)


def _encoder_node(config: DictConfig, splits: Splits) -> Any:
    """The encoder's config, in which what it leaves open about the parity models is as their class declares it.

    Raises:
        ConfigError: it adds up quantities, and the data are token ids.
    """
    if not isinstance(config.encoder, DictConfig):
        return config.encoder  # making it says what is wrong
    node = OmegaConf.to_container(config.encoder) if splits.texts is None else _of_tokens(config, splits)
    declared = getattr(_parity_architecture(config), "convolutional", True)
    return OmegaConf.create(filled(node, "convolutional", bool(declared)))


def _of_tokens(config: DictConfig, splits: Splits) -> Any:
    """The config of the encoder that does for token ids what the chosen one does for quantities."""
    target = config.encoder.get("_target_")
    chosen = pydoc.locate(str(target))
    if not isinstance(chosen, type):
        return config.encoder  # likewise
    kind = getattr(chosen, "of_tokens", None)
    if kind is None:
        raise ConfigError(
            f"encoder ({target}): it calculates with a query's numbers, and those of dataset={config.dataset.name} are "
            "token ids; choose encoder=concat, which lays them side by side, or encoder=addition, which adds embeddings"
        )
    node: Any = OmegaConf.to_container(config.encoder)
    node["_target_"] = f"{kind.__module__}.{kind.__qualname__}"
    arguments = inspect.signature(kind).parameters
    if "vocabulary" in arguments and splits.texts is not None:
        node["vocabulary"] = splits.texts.size
    if "width" in arguments:
        node["width"] = getattr(new_labelled_network(config, "base", splits), "width", 1)
    return node


def _decoder_node(config: DictConfig, encoder: Encoder, outputs: tuple[int, ...]) -> Any:
    """The decoder's config, in which is filled in whether places can be kept apart."""
    if not isinstance(config.decoder, DictConfig):
        return config.decoder
    node = OmegaConf.to_container(config.decoder)
    if not is_open(node, "apart") or not config.parity.trainable:
        return OmegaConf.create(filled(node, "apart", False))
    return OmegaConf.create(filled(node, "apart", keeps_places_apart(config, encoder, math.prod(outputs))))


def _parity_architecture(config: DictConfig) -> object:
    """The class of the parity models; None where there is no such class, which making them says."""
    return pydoc.locate(str(architecture_of(config, PARITY).get("_target_")))


def _check_places(config: DictConfig, encoder: Encoder, decoder: Decoder) -> None:
    """Refuse to keep places apart that are mixed already, or in a network that knows nothing of places."""
    if not decoder.by_place:
        return
    name = type(decoder).__name__
    if encoder.grid is None:
        raise ConfigError(
            f"encoder ({type(encoder).__name__}): it mixes the queries of a group, and decoder ({name}) reads each at "
            "its own place; choose encoder=concat, or decoder=residual"
        )
    if not config.parity.trainable:
        raise ConfigError(
            f"parity.trainable=false: the base model gives one prediction, and decoder ({name}) reads one for each "
            "place; choose decoder=subtraction or decoder=mlp"
        )


def _check_extra_outputs(config: DictConfig, decoder: Decoder) -> None:
    """Refuse extra outputs that nobody reads or nobody learns."""
    wanted = config.parity.extra_outputs
    if wanted is not None and wanted != decoder.extra_outputs:
        raise ConfigError(
            f"parity.extra_outputs={wanted}: decoder ({type(decoder).__name__}) reads {decoder.extra_outputs}; "
            "choose decoder=residual, or leave parity.extra_outputs out"
        )
    if decoder.extra_outputs and not config.parity.trainable:
        raise ConfigError(
            "parity.trainable=false: the base model runs the parity queries then, and has no extra outputs for the "
            f"decoder ({type(decoder).__name__}); choose decoder=subtraction or decoder=mlp, or "
            "set parity.extra_outputs=0"
        )
