"""Texts as token ids: a tokenizer of the library ``tokenizers``, trained here or given as its file.

A query of a text data set is a row of ids in float32, as queries of every kind are. Ids are whole numbers below 2**24,
which float32 holds exactly; what is behind the end of a text is :data:`PADDING`, whatever the tokenizer pads with.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from torch import Tensor

from parity_exp.data.file_cache import Array
from parity_exp.errors import DataError, UserError

PADDING = -1
"""Stands where a query has no token."""

MOST_TOKENS = 2**24
"""Ids from here on are not exact in float32."""

FILE = "tokenizer.json"
"""What the library calls a tokenizer's file; a run directory and a folder of a pretrained model have one."""

UNKNOWN = "[UNK]"
SPECIAL = ("[PAD]", UNKNOWN)

MOST_LETTERS = 1_000
"""Different letters that word pieces are made of; what is rarer is unknown."""

Kind = Literal["bpe", "wordpiece"]


class Tokeniser:
    """A tokenizer with which texts become queries.

    Args:
        made: the library's object.

    Attributes:
        size: ids are below it.
    """

    def __init__(self, made: Any) -> None:
        made.no_padding()
        made.no_truncation()
        self._made = made
        self.size = max(made.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @classmethod
    def trained(cls, texts: Sequence[str], kind: Kind, vocabulary: int, lowercase: bool) -> Self:
        """A tokenizer that has learned from texts, the same from the same texts.

        Args:
            texts: of the training split.
            kind: ``bpe``, of bytes, which knows every text; or ``wordpiece``, as BERT's.
            vocabulary: ids at most; byte pairs need 258 at least.
            lowercase: whether capital letters become small ones.
        """
        lib = _library()
        normaliser = lib.normalizers.Sequence(
            [lib.normalizers.NFKC(), *([lib.normalizers.Lowercase()] if lowercase else [])]
        )
        if kind == "bpe":
            made = lib.Tokenizer(lib.models.BPE())
            made.pre_tokenizer = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
            made.decoder = lib.decoders.ByteLevel()
            trainer = lib.trainers.BpeTrainer(
                vocab_size=vocabulary,
                special_tokens=list(SPECIAL),
                initial_alphabet=sorted(lib.pre_tokenizers.ByteLevel.alphabet()),
                show_progress=False,
            )
        else:
            letters = _letters(
                map(normaliser.normalize_str, texts), min(MOST_LETTERS, (vocabulary - len(SPECIAL)) // 2)
            )
            made = _word_pieces(lib, {})
            trainer = lib.trainers.WordPieceTrainer(
                vocab_size=vocabulary,
                # Pieces of one letter get their ids here: the library numbers them in an order that it draws.
                special_tokens=[*SPECIAL, *(f"##{letter}" for letter in letters)],
                initial_alphabet=letters,
                limit_alphabet=len(letters),
                show_progress=False,
            )
        made.normalizer = normaliser
        with _one_thread():
            made.train_from_iterator(texts, trainer)
        if kind == "wordpiece":
            made = _word_pieces(lib, made.get_vocab(with_added_tokens=True))
            made.normalizer = normaliser
            made.add_special_tokens(list(SPECIAL))
        return cls(made)

    @classmethod
    def read(cls, path: Path) -> Self:
        """A tokenizer from its file, or from the one in a folder.

        Raises:
            DataError: there is none, or it is damaged.
        """
        file = path / FILE if path.is_dir() else path
        try:
            return cls.from_json(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(
                f"{{tokenizer}}={path}: there is no {FILE}; give the file that the library tokenizers has written, a "
                "folder with one, or null, and one is trained"
            ) from None
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{{tokenizer}}={path}: it cannot be read ({reason}); give a whole {FILE}") from None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """A tokenizer from what is in its file.

        Raises:
            ValueError: it is damaged, or has ids that queries cannot hold.
        """
        try:
            made = cls(_library().Tokenizer.from_str(text))
        except UserError:
            raise
        except Exception as error:  # the library has only this for what it cannot read
            raise ValueError(str(error)) from None
        if made.size > MOST_TOKENS:
            raise ValueError(f"it has ids up to {made.size - 1:,}, and queries hold those below {MOST_TOKENS:,}")
        return made

    @property
    def files(self) -> dict[str, str]:
        """Contents of files by name, from which it can be made again."""
        return {FILE: self.json}

    @property
    def json(self) -> str:
        """What its file holds."""
        text: str = self._made.to_str(pretty=True)
        return text

    @property
    def digest(self) -> str:
        """The hash of its file, 16 characters."""
        return blake2b(self._made.to_str().encode(), digest_size=8).hexdigest()

    def ids(self, text: str, length: int, padding: Literal["right", "left"] = "right") -> Array:
        """A text as a query, ``(length,)`` float32: cut at its end, or padded at one of its sides.

        Tokens that the tokenizer puts around every text, such as BERT's ``[CLS]`` and ``[SEP]``, stay where it is cut.

        Raises:
            DataError: no token is in it.
        """
        encoded = self._made.encode(text, add_special_tokens=False)
        if not encoded.ids:
            raise DataError("has no token that the tokenizer knows")
        around = self._made.num_special_tokens_to_add(False)
        if length > around:
            encoded.truncate(length - around)
            encoded = self._made.post_process(encoded)
        ids = encoded.ids[:length]
        row = np.full(length, PADDING, np.float32)
        row[slice(0, len(ids)) if padding == "right" else slice(length - len(ids), length)] = ids
        return row

    def text(self, ids: Tensor) -> str:
        """What a query says, as far as it was not cut off."""
        known: list[int] = [int(one) for one in ids.flatten().tolist() if one != PADDING]
        decoded: str = self._made.decode(known, skip_special_tokens=True)
        return decoded


def _word_pieces(lib: Any, vocabulary: Mapping[str, int]) -> Any:
    made = lib.Tokenizer(lib.models.WordPiece(dict(vocabulary), unk_token=UNKNOWN))
    made.pre_tokenizer = lib.pre_tokenizers.BertPreTokenizer()
    made.decoder = lib.decoders.WordPiece()
    return made


def _letters(texts: Iterable[str], most: int) -> list[str]:
    """The most frequent letters of texts, in an order of their own."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    ordered = sorted((letter for letter in counts if not letter.isspace()), key=lambda one: (-counts[one], one))
    return sorted(ordered[:most])


def _library() -> Any:
    """The library, which is slow to import and belongs to an extra.

    Raises:
        UserError: it is not installed.
    """
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise UserError(
            "texts need the library tokenizers, which is not installed; pip install 'parity_exp[text]'"
        ) from None
    return tokenizers


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep the library's threads away: processes are forked later, which it complains of once it has had some."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
