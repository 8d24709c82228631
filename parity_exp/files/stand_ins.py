"""What commonly stands where a file should be, when a copy or a download went wrong: known by its first bytes."""

from pathlib import Path

HEAD = 512
"""Bytes at a file's beginning that tell."""

POINTER = b"version https://git-lfs"

WEB_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<body")

MARK = b"\xef\xbb\xbf"


def stand_in(head: bytes) -> str | None:
    """What a file is that begins so, and what to do; None where it may be the file itself."""
    if not head:
        return "is empty (0 bytes), as after a copy or download that failed; get it again"
    if head.startswith(POINTER):
        return "is a Git LFS pointer, not the file itself; fetch that by `git lfs pull`"
    if head.removeprefix(MARK).lstrip().lower().startswith(WEB_PAGES):
        return "is a web page, not the file: the link leads to a page, or wants a login; download the file itself"
    return None


def stand_in_at(path: Path) -> str | None:
    """What stands at a path instead of the file; None where it may be the file itself, or is not there."""
    try:
        with path.open("rb") as stream:
            return stand_in(stream.read(HEAD))
    except OSError:
        return None
