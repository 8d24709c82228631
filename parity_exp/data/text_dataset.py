"""Data sets of texts: each becomes a row of token ids, by a tokenizer that belongs to the training split."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from filelock import FileLock
from torch import Tensor

from parity_exp.data.file_cache import Array
from parity_exp.data.file_dataset import CACHE, FileDataset, Label, LabelledFile, Listing
from parity_exp.data.from_clients import text_sent
from parity_exp.data.preparation import Preparation
from parity_exp.data.tokeniser import FILE, Kind, Tokeniser
from parity_exp.errors import DataError
from parity_exp.files.writing import write_text
from parity_exp.ranges import Count, Seed, Text

TEST_PART = 5
"""Where nothing says which texts are for testing, one in this many is."""

Length = Annotated[int, Ge(2), Le(2**16)]
Vocabulary = Annotated[int, Ge(16), Le(2**23)]


class TextDataset(FileDataset):
    """Base class of data sets of texts.

    An input is ``(max_length,)``: ids in float32, -1 where the text has ended (see
    :mod:`parity_exp.data.tokeniser`). The tokenizer is the run directory's, where a trained run is measured or served;
    otherwise the one that is given, or one that is trained on the texts of the training split.

    Args:
        name: what error messages call it.
        root: folder to look in first.
        cache: folder to keep what was read in; ``.parity_exp_cache`` below the root, or beside the table, where None.
        tokenizer: a ``tokenizer.json`` of the library ``tokenizers``, or a folder with one; None: it is trained.
        tokenizer_kind: what is trained: ``bpe`` of bytes, or ``wordpiece``.
        vocabulary: ids of a trained tokenizer, at most.
        lowercase: whether a trained tokenizer makes capital letters small.
        max_length: tokens in a query; longer texts are cut, shorter ones padded.
        padding: the side on which they are padded.
        encoding: of the texts, in Python's words; None: see :func:`parity_exp.data.text_files.read_text`.
        split_seed: seed of the draw of test and validation samples, where the data do not say which they are.
        limit: use the first this many samples of each split only; for trying things out.
    """

    dtype = "float32"

    def __init__(
        self,
        name: Text,
        root: Text | None = None,
        cache: Text | None = None,
        tokenizer: Text | None = None,
        tokenizer_kind: Kind = "bpe",
        vocabulary: Vocabulary = 8_000,
        lowercase: bool = True,
        max_length: Length = 64,
        padding: Literal["right", "left"] = "right",
        encoding: Text | None = None,
        split_seed: Seed = 0,
        limit: Count | None = None,
    ) -> None:
        super().__init__(name=name, root=root, cache=cache, split_seed=split_seed, limit=limit)
        self.tokenizer = tokenizer
        self.tokenizer_kind: Kind = tokenizer_kind
        self.vocabulary = vocabulary
        self.lowercase = lowercase
        self.max_length = max_length
        self.padding: Literal["right", "left"] = padding
        self.encoding = encoding
        self._adopted: Path | None = None

    @abstractmethod
    def text_of(self, file: LabelledFile) -> str:
        """A sample's text.

        Raises:
            DataError: there is none; the message goes on after the file's name.
        """

    def adopt(self, run: Path) -> None:
        """Take the tokenizer of a run directory, if it has one."""
        if (run / FILE).is_file():
            self._adopted = run / FILE

    def texts(self) -> Tokeniser:
        return self.tokeniser

    def preparation(self) -> Preparation | None:
        return Preparation("text", self._from_client)

    def _from_client(self, content: bytes) -> Tensor:
        return torch.from_numpy(self.tokeniser.ids(text_sent(content), self.max_length, self.padding))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.max_length,)

    def reading(self) -> dict[str, Any]:
        return {"tokenizer": self.tokeniser.digest, "max_length": self.max_length, "padding": self.padding}

    def read_file(self, file: LabelledFile) -> tuple[Array, Label]:
        return self.tokeniser.ids(self.text_of(file), self.max_length, self.padding), file.label

    @cached_property
    def tokeniser(self) -> Tokeniser:
        """What makes ids of texts.

        Raises:
            DataError: the one that is given cannot be read.
        """
        given = self._adopted or (None if self.tokenizer is None else Path(self.tokenizer).expanduser())
        return self._trained() if given is None else Tokeniser.read(given)

    def _trained(self) -> Tokeniser:
        """A tokenizer of the training split, kept beside the samples."""
        settings = (self.tokenizer_kind, self.vocabulary, self.lowercase, self.encoding)
        if self.tokenizer_kind == "bpe" and self.vocabulary < 258:
            raise self.error(f"{{vocabulary}}={self.vocabulary}: byte pairs need 258, for each byte is a token")
        texts = self._each_text(self.listing.train)
        digest = blake2b(repr(settings).encode(), digest_size=8)
        for text in texts:
            digest.update(f"{len(text)} {text}".encode("utf-8", "replace"))
        folder = Path(self.cache).expanduser() if self.cache else self.place / CACHE
        path = folder / f"{self.name}-tokenizer-{digest.hexdigest()}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):
                try:
                    return Tokeniser.from_json(path.read_text(encoding="utf-8"))
                except (FileNotFoundError, ValueError):  # not there yet, or cut short
                    made = Tokeniser.trained(texts, self.tokenizer_kind, self.vocabulary, self.lowercase)
                    write_text(path, made.json)
                    return made
        except OSError as error:
            raise self.error(
                f"cannot keep the tokenizer in {folder} ({error.strerror or error}); set {{cache}} to a folder with "
                "room that can be written"
            ) from None

    def _each_text(self, files: Sequence[LabelledFile]) -> list[str]:
        texts = []
        for file in files:
            try:
                texts.append(self.text_of(file))
            except DataError as error:
                raise self.error(f"{file.path} {error}; mend it, or take it away") from None
        return texts


def with_seeded_test_part(files: Sequence[LabelledFile], class_names: Sequence[str], seed: int) -> Listing:
    """Draw a part of each class for testing.

    Args:
        files: all of them, in an order that depends on nothing else.
        class_names: of the labels.
        seed: of the draw.
    """
    random = torch.Generator().manual_seed(seed)
    train: list[LabelledFile] = []
    test: list[LabelledFile] = []
    for label in range(len(class_names)):
        own = [file for file in files if file.label == label]
        own = [own[place] for place in torch.randperm(len(own), generator=random)]
        count = len(own) // TEST_PART
        test += own[:count]
        train += own[count:]
    return Listing(train, None, test, class_names)
