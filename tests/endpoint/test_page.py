"""The page at ``/``, as a browser shows it."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from parity_exp.disturbances import Resize
from tests.endpoint.live import Live, get, live, status, summed, until
from tests.endpoint.test_instances import MortalPool
from tests.endpoint.test_limits import ONE, ask_grpc, post

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def browse(endpoint: Live, folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """Open the page for some seconds in a browser that reaches nothing but this machine."""
    assert CHROMIUM
    flags = (
        "headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "disable-quic", f"user-data-dir={folder / 'profile'}",
        "host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "window-size=1280,1000", "enable-logging=stderr",
        "virtual-time-budget=4000",
    )  # fmt: skip
    command = [CHROMIUM, *(f"--{flag}" for flag in (*flags, *more)), f"http://{endpoint.http}/"]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)


def cells(dom: str, table: str) -> list[list[str]]:
    """What a table says, row by row, its head first."""
    (content,) = re.findall(rf'<table id="{table}-base-1">(.*?)</table>', dom, re.DOTALL)
    rows = re.findall(r"<tr>(.*?)</tr>", content, re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_shows_what_the_server_does_and_has_nothing_to_complain_of(tmp_path: Path) -> None:
    with live(MortalPool(summed), straggler=Resize([[0, -1], [3000, 1]])) as made:
        until(lambda: "away" in [one["state"] for one in status(made)["instances"]])
        for _ in range(6):
            assert post(made, json.dumps(ONE).encode())[0] == 200
        ask_grpc(made)
        picture = tmp_path / "page.png"
        seen = browse(made, tmp_path, "dump-dom", f"screenshot={picture}")
    assert "CONSOLE" not in seen.stderr, seen.stderr
    dom = seen.stdout
    assert "ready; 0 of at most 1000 queries wait" in dom and "policy none" in dom
    assert re.search(r"7 answers in \d+ s; in the last minute \d", dom)
    assert ["own", "7", "7"] in [[row[0], row[2], row[2]] for row in cells(dom, "sources")[1:]]
    head, latencies = cells(dom, "latency")
    assert {"p50", "p99", "p99.9"} <= set(head)
    assert all(re.fullmatch(r"\d+\.\d\d ms", one) for one in latencies)
    states = sorted(row[2] for row in cells(dom, "instances")[1:])
    assert states == ["away", "up"]
    assert len(cells(dom, "stragglers")) == 2, "the one that is injected, and the head"
    assert not re.search(r'(?:src|href)="(?!data:)', dom), "nothing from elsewhere"
    with Image.open(picture) as shown:
        assert shown.size == (1280, 1000)
        assert len(shown.convert("RGB").getcolors(2**24)) > 10, "there is something to be seen"


def test_the_page_brings_all_it_needs_and_lets_nothing_else_in() -> None:
    with live() as made:
        page = get(made, "/").decode()
    assert "http://" not in page and "https://" not in page and "<link" not in page
    assert not re.search(r"<(script|img|iframe)[^>]*\bsrc=", page)
