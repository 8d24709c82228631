import pytest

from parity_exp.files.texts import decoded, path_in_list


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_read_with_and_without_its_mark(encoding: str) -> None:
    assert decoded("bed/ä.wav\r\n".encode(encoding)) == "bed/ä.wav\r\n"


@pytest.mark.parametrize("content", [b"\x00\x01", b"\xff\xfe\x00\xff", b"\xff\xfe\x00", b"a\x00b", b"\xe4"])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        decoded(content)


@pytest.mark.parametrize(
    "line", ["a/b.wav", "./a/b.wav", r"a\b.wav", r".\a\b.wav", "a//b.wav ", "a/./b.wav", "x/../a/b.wav"]
)
def test_one_path_is_one_however_it_is_written(line: str) -> None:
    assert path_in_list(line) == "a/b.wav"


@pytest.mark.parametrize("line", ["", ".", "..", "../a", "/a", r"..\a", "a/../../b"])
def test_a_path_that_leads_out_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no path in the folder"):
        path_in_list(line)
