"""Small data sets of texts, and a tiny pretrained encoder, in the official formats."""

import csv
import json
import random
from pathlib import Path

WORDS = {
    "ham": ["meeting", "lunch", "report", "team", "thanks", "notes"],
    "spam": ["winner", "cash", "offer", "free", "prize", "click"],
}
BOTH = ["the", "a", "to", "of", "and", "you", "we", "in", "it", "is"]


def texts(count: int = 60, seed: int = 0) -> list[tuple[str, str]]:
    """Texts whose words tell their class, with the class."""
    drawn = random.Random(seed)
    made = []
    for number in range(count):
        label = ("ham", "spam")[number % 2]
        length = drawn.randint(3, 9)
        words = [drawn.choice(WORDS[label] if drawn.random() < 0.6 else BOTH) for _ in range(length)]
        made.append((" ".join([*words, WORDS[label][number % 6]]), label))
    return made


def write_table(path: Path, count: int = 60, split: bool = False) -> Path:
    """A CSV file with the columns text and label, and perhaps split."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label", *(["split"] if split else [])])
        for number, (text, label) in enumerate(texts(count)):
            part = "test" if number % 6 > 3 else "validation" if number % 6 > 1 and number % 4 > 1 else "train"
            writer.writerow([text, label, *([part] if split else [])])
    return path


def write_folder(folder: Path, count: int = 60, split: bool = True) -> Path:
    """A folder a class, below train and test where there is a split."""
    for number, (text, label) in enumerate(texts(count)):
        part = ("test" if number % 6 > 3 else "train") if split else ""
        place = folder / part / label
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def write_encoder(folder: Path, width: int = 16) -> Path:
    """A tiny BERT with random weights and a WordPiece tokenizer, as transformers and tokenizers write them."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({word for text, _ in texts() for word in text.split()})]
    ids = {word: number for number, word in enumerate(words)}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BertModel(
            BertConfig(
                vocab_size=len(words), hidden_size=width, num_hidden_layers=1, num_attention_heads=2,
                intermediate_size=32, max_position_embeddings=64,
            )
        )  # fmt: skip
    network.save_pretrained(folder, safe_serialization=True)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "bert"
    return folder
