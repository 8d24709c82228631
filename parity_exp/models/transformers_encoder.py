"""Any encoder of the library ``transformers``, from a folder on this machine."""

import copy
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from parity_exp.errors import UserError
from parity_exp.models.transformer_layer import Dropout
from parity_exp.ranges import Text

CONFIG, WEIGHTS, PICKLES = "config.json", "*.safetensors", "*.bin"


class TransformersEncoder(nn.Module):
    """A pretrained encoder and a head, for queries of token ids; negative ones are padding.

    Nothing is downloaded, no code of the folder is run, and weights are read from safetensors alone.

    Args:
        input_shape: ``(L,)``, ids; or ``(L, width)``, tokens that are embedded already, where zeros are padding.
        outputs: numbers in one prediction.
        path: the folder, with ``config.json`` and weights in safetensors.
        pooling: what the head reads: the ``mean`` of the last layer's tokens, or ``cls``, the first of them.
        head: whether a linear layer makes the outputs; otherwise they are what was pooled, as in embedding.
        dropout: probability of dropping a number before the head, in training; the encoder has its own.
        pretrained: false: random weights for what ``config.json`` describes, as where a checkpoint follows.
        vocabulary: ids of the data are below it; None: not known.

    Shapes: ``(B, L) -> (B, outputs)``.

    Raises:
        ValueError: no such folder or no encoder in it, or one that cannot take such queries.
        UserError: the library is not installed.
    """

    convolutional = False
    reads_tokens = True
    sees_places = True

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        path: Text | None = None,
        pooling: Literal["mean", "cls"] = "mean",
        head: bool = True,
        dropout: Dropout = 0.1,
        pretrained: bool = True,
        vocabulary: Annotated[int, Ge(1), Le(2**24)] | None = None,
    ) -> None:
        super().__init__()
        shape = tuple(input_shape)
        if path is None:
            raise ValueError("path is not set; give it the folder of an encoder (config.json and *.safetensors)")
        self.encoder = copy.deepcopy(_loaded(Path(path).expanduser().absolute(), pretrained))
        settings = self.encoder.config
        self.width = int(self.words.embedding_dim)
        self.pooling = pooling
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != self.width):
            raise ValueError(f"an encoder of texts needs rows of token ids (L,), not queries of shape {shape}")
        longest = getattr(settings, "max_position_embeddings", None)
        if isinstance(longest, int) and 0 < longest < shape[0]:
            raise ValueError(f"{path} reads {longest} tokens at most, and queries have {shape[0]}; lower max_length")
        known = self.words.num_embeddings
        if vocabulary is not None and vocabulary > known:
            raise ValueError(
                f"{path} knows {known:,} ids, and the data's tokenizer has {vocabulary:,}; take the folder's own one"
            )
        hidden = int(settings.hidden_size)
        if not head and outputs != hidden:
            raise ValueError(
                f"head=false gives the encoder's {hidden} numbers, but {outputs} are wanted; set head=true"
            )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, outputs) if head else nn.Identity()

    @property
    def words(self) -> nn.Embedding:
        """Embeddings of ids."""
        found: nn.Embedding = self.encoder.get_input_embeddings()
        return found

    def embed(self, ids: Tensor) -> Tensor:
        """Tokens of ids, with zeros where there is padding, ``(N, n) -> (N, n, width)``."""
        words = self.words
        tokens: Tensor = words(ids.long().clamp(0, words.num_embeddings - 1))
        return tokens * (ids >= 0).unsqueeze(-1)

    def placed(self, tokens: Tensor) -> Tensor:
        """The tokens as they are: the encoder itself adds positions."""
        return tokens

    def read(self, tokens: Tensor, known: Tensor) -> Tensor:
        """Outputs for embedded tokens, ``(N, n, width)`` and ``(N, n)`` to ``(N, outputs)``.

        Args:
            tokens: as :meth:`embed` gives them.
            known: false where there is padding.
        """
        last = self.encoder(inputs_embeds=tokens, attention_mask=known.long()).last_hidden_state
        if self.pooling == "cls":
            first = known.byte().argmax(1)
            pooled = last[torch.arange(len(last), device=last.device), first]
        else:
            weights = known.unsqueeze(-1).to(last.dtype)
            pooled = (weights * last).sum(1) / weights.sum(1).clamp(min=1)
        outputs: Tensor = self.head(self.drop(pooled))
        return outputs

    def forward(self, queries: Tensor) -> Tensor:
        if queries.dim() == 2:
            return self.read(self.embed(queries), queries >= 0)
        return self.read(queries, (queries != 0).any(-1))


@lru_cache(maxsize=2)
def _loaded(folder: Path, pretrained: bool) -> Any:
    """The encoder in a folder; many networks are made of it, so that it is read once.

    Raises:
        ValueError: there is none, or none that can be read without running code of others.
        UserError: the library is not installed.
    """
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} has no {CONFIG} that can be read ({error}); give an encoder's folder") from None
    if pretrained and not list(folder.glob(WEIGHTS)):
        pickled = ", only pickles, which could run code" if list(folder.glob(PICKLES)) else ""
        raise ValueError(f"{folder} has no weights in {WEIGHTS}{pickled}; save the model with safetensors")
    if settings.get("is_encoder_decoder"):
        raise ValueError(f"{folder} holds an encoder with a decoder ({settings.get('model_type')}); give an encoder")
    library = _library()
    arguments = {"local_files_only": True, "trust_remote_code": False}
    try:
        if pretrained:
            made = library.AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **arguments)
        else:
            described = library.AutoConfig.from_pretrained(folder, **arguments)
            made = library.AutoModel.from_config(described, trust_remote_code=False)
    except Exception as error:  # the library has many kinds
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{folder} cannot be read as an encoder of transformers ({reason})") from None
    if hasattr(made, "pooler"):
        made.pooler = None  # nobody reads it
    return made.eval()


def _library() -> Any:
    """The library, which is slow to import and belongs to an extra.

    Raises:
        UserError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise UserError(
            "architecture=transformers_encoder needs the library transformers, which is not installed; "
            "pip install 'parity_exp[text]'"
        ) from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers
