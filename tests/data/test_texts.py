"""Data sets of texts: tables, folders, tokenizers."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from parity_exp.data import PADDING, TextFolder, TextTable, Tokeniser
from parity_exp.data.text_files import read_text
from parity_exp.errors import DataError
from tests.data.texts import texts, write_folder, write_table

SMALL = {"max_length": 12, "vocabulary": 300}


def table(path: Path, **settings: object) -> TextTable:
    return TextTable(name="csv", path=str(path), **{**SMALL, **settings})


def test_a_table_becomes_rows_of_ids_that_say_its_texts(tmp_path: Path) -> None:
    splits = table(write_table(tmp_path / "mails.csv")).load()
    assert splits.query_shape == (12,)
    assert splits.train.inputs.dtype == torch.float32
    assert splits.task.class_names == ("ham", "spam")
    assert splits.texts is not None
    said = {
        splits.texts.text(ids) for samples in (splits.train, splits.validation, splits.test) for ids in samples.inputs
    }
    whole = {text for text, _ in texts()}
    assert said <= {text[: len(one)] for text in whole for one in said if text.startswith(one)}
    assert said & whole
    known = splits.train.inputs[splits.train.inputs != PADDING]
    assert torch.equal(known, known.round()) and known.min() >= 0 and known.max() < splits.texts.size


def test_the_split_column_says_the_split_and_otherwise_the_seed_does(tmp_path: Path) -> None:
    path = write_table(tmp_path / "mails.csv", split=True)
    wanted = pd.read_csv(path).split.value_counts()
    splits = table(path, split="split").load()
    assert [len(one) for one in (splits.train, splits.validation, splits.test)] == [
        wanted["train"], wanted["validation"], wanted["test"],
    ]  # fmt: skip
    drawn = [table(path, split_seed=seed).load() for seed in (0, 0, 1)]
    assert torch.equal(drawn[0].test.inputs, drawn[1].test.inputs)
    assert not torch.equal(drawn[0].test.inputs, drawn[2].test.inputs)
    assert len(drawn[0].test) == 12


@pytest.mark.parametrize("suffix", [".tsv", ".csv.gz", ".parquet"])
def test_other_tables_give_the_same(tmp_path: Path, suffix: str) -> None:
    path = write_table(tmp_path / "mails.csv")
    frame, other = pd.read_csv(path), tmp_path / f"other{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(other)
    else:
        frame.to_csv(other, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert torch.equal(table(other).load().train.inputs, table(path).load().train.inputs)


@pytest.mark.parametrize(
    ("change", "settings", "wanted"),
    [
        (lambda frame: frame, {"text": "body"}, "no column text=body; it has text, label"),
        (lambda frame: frame.assign(label="one"), {}, "has 1 classes"),
        (lambda frame: frame.assign(text=["", *frame.text[1:]]), {}, "row 1 is empty"),
        (lambda frame: frame.assign(text=["\x01\x02\x03", *frame.text[1:]]), {}, "row 1 is binary"),
        (lambda frame: frame.assign(label=["", *frame.label[1:]]), {}, "row 1 has nothing in label=label"),
        (lambda frame: frame.assign(split="often"), {"split": "split"}, "row 1 has often in split=split"),
        (lambda frame: frame, {"vocabulary": 100}, "byte pairs need 258"),
        (lambda frame: frame, {"tokenizer": "nowhere.json"}, "there is no tokenizer.json"),
    ],
)
def test_a_bad_table_is_refused_in_a_line(tmp_path: Path, change: object, settings: dict, wanted: str) -> None:
    path = write_table(tmp_path / "mails.csv")
    change(pd.read_csv(path)).to_csv(path, index=False)  # type: ignore[operator]
    with pytest.raises(DataError) as error:
        table(path, **settings).load()
    assert wanted in str(error.value)
    assert "\n" not in str(error.value)


def test_folders_with_and_without_a_split(tmp_path: Path) -> None:
    split = TextFolder(name="text_folder", root=str(write_folder(tmp_path / "split")), **SMALL).load()
    plain = TextFolder(name="text_folder", root=str(write_folder(tmp_path / "plain", split=False)), **SMALL).load()
    assert len(split.test) == 20
    assert len(plain.test) == 12
    assert split.task.class_names == plain.task.class_names == ("ham", "spam")


@pytest.mark.parametrize(
    ("content", "wanted"), [(b"", "is empty"), (b" \n", "is empty"), (b"\x00\x01\x02PNG", "is binary")]
)
def test_files_that_are_no_texts_are_named(tmp_path: Path, content: bytes, wanted: str) -> None:
    bad = write_folder(tmp_path / "split") / "train" / "ham" / "bad.txt"
    bad.write_bytes(content)
    with pytest.raises(DataError, match=f"bad.txt {wanted}"):
        TextFolder(name="text_folder", root=str(tmp_path / "split"), **SMALL).load()


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("Gr\u00fc\u00dfe".encode(), None),
        ("Gr\u00fc\u00dfe".encode("utf-8-sig"), None),
        ("Gr\u00fc\u00dfe".encode("utf-16"), None),
        ("Gr\u00fc\u00dfe".encode("cp1252"), None),
        ("Gr\u00fc\u00dfe".encode("cp437"), "cp437"),
    ],
)
def test_encodings_are_found_out_or_given(tmp_path: Path, content: bytes, encoding: str | None) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    assert read_text(path, encoding) == "Gr\u00fc\u00dfe"


def test_a_tokenizer_is_trained_on_training_texts_alone_and_kept(tmp_path: Path) -> None:
    path = write_table(tmp_path / "mails.csv", split=True)
    frame = pd.read_csv(path)
    first = table(path, split="split", tokenizer_kind="wordpiece").tokeniser
    frame.loc[frame.split == "test", "text"] += " unheardof"
    frame.to_csv(path, index=False)
    second = table(path, split="split", tokenizer_kind="wordpiece").tokeniser
    assert first.digest == second.digest
    kept = list((tmp_path / ".parity_exp_cache").glob("csv-tokenizer-*.json"))
    assert len(kept) == 1
    kept[0].write_text(kept[0].read_text()[:100])  # cut short: made anew
    assert table(path, split="split", tokenizer_kind="wordpiece").tokeniser.digest == first.digest


def test_samples_are_read_once_and_anew_when_the_table_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_table(tmp_path / "mails.csv")
    once = table(path).load()
    with monkeypatch.context() as patched:
        patched.setattr(Tokeniser, "ids", None)
        assert torch.equal(table(path).load().train.inputs, once.train.inputs)
    frame = pd.read_csv(path)
    frame.assign(text=frame.text[::-1].to_numpy(), label=frame.label[::-1].to_numpy()).to_csv(path, index=False)
    assert not torch.equal(table(path).load().train.inputs, once.train.inputs)


def test_a_run_keeps_its_tokenizer_whatever_the_data_are_later(tmp_path: Path) -> None:
    first = table(write_table(tmp_path / "mails.csv"))
    run = tmp_path / "run"
    run.mkdir()
    for name, content in first.load().texts.files.items():  # type: ignore[union-attr]
        (run / name).write_text(content)
    other = table(write_table(tmp_path / "others" / "mails.csv", 24), tokenizer="nowhere.json")
    other.adopt(run)
    assert other.tokeniser.digest == first.tokeniser.digest


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_the_same_texts_give_the_same_tokenizer(kind: str) -> None:
    said = [text for text, _ in texts(200)]
    first, *others = (Tokeniser.trained(said, kind, 320, True) for _ in range(4))  # type: ignore[arg-type]
    assert {other.digest for other in others} == {first.digest}
    assert 50 < first.size <= 320
    assert first.text(torch.from_numpy(first.ids(said[0], 60))) == said[0]


@pytest.mark.parametrize("padding", ["right", "left"])
def test_texts_are_cut_and_padded(padding: str) -> None:
    made = Tokeniser.trained(["one two three four five"], "wordpiece", 60, True)
    short, long = (made.ids(text, 3, padding) for text in ("one", "one two three four"))  # type: ignore[arg-type]
    assert (short == PADDING).sum() == 2
    assert (short[0] == PADDING) == (padding == "left")
    assert made.text(torch.from_numpy(long)) == "one two three"
