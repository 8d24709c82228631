from pathlib import Path

import pytest

from parity_exp.files.stand_ins import stand_in, stand_in_at


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\xef\xbb\xbf \r\n<HTML>", "web page"),
        (b'<?xml version="1.0"?><Error>', "web page"),
    ],
)
def test_what_stands_for_a_file_is_known(tmp_path: Path, head: bytes, words: str) -> None:
    assert words in (stand_in(head) or "")
    (tmp_path / "file").write_bytes(head)
    assert words in (stand_in_at(tmp_path / "file") or "")


def test_other_files_may_be_what_they_should_be(tmp_path: Path) -> None:
    assert stand_in(b"\x89PNG") is None and stand_in(b"RIFF") is None and stand_in_at(tmp_path / "nowhere") is None
