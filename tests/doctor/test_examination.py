"""The whole examination, with processes that only pretend."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from parity_exp.doctor import examination
from parity_exp.doctor.children import Children, Said
from parity_exp.doctor.examination import examine, look
from parity_exp.doctor.findings import Finding, State


class Pretended(Children):
    """A probe that prints some lines."""

    output = ""
    problem = ""
    folders: Sequence[Path] = ()

    def ask(self, arguments: Sequence[str], folder: Path, longest_s: float) -> Said:
        self.folders = [*self.folders, folder]
        return Said(self.output, self.problem)


def row(name: str) -> str:
    return json.dumps({"section": "devices", "name": name, "text": "there", "state": "GOOD", "remedy": ""})


def test_data_are_looked_for_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    children = Pretended()
    look(children, [])
    assert children.folders == [tmp_path]


def test_what_was_found_before_a_crash_is_shown_beside_it() -> None:
    children = Pretended()
    children.output = f"a library's chatter\n[1, 2]\n{row('cuda:0')}\n{json.dumps({'device': 'cuda:0'})}\n"
    children.problem = "killed by signal 11"
    found, devices = look(children, [])
    assert devices == ["cuda:0"] and [one.name for one in found["devices"]] == ["cuda:0"]
    (crash,) = found["libraries"]
    assert crash.state is State.BROKEN and "signal 11" in crash.text


def test_every_device_is_tried_and_those_that_fail_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tried: list[str] = []

    def trial(device: str, folder: Path, _: Children) -> Finding:
        tried.append(device)
        assert tmp_path not in folder.parents
        return Finding(device, "failed its trial", State.BROKEN if device == "cuda:1" else State.GOOD)

    class TwoGpus(Pretended):
        output = "\n".join(json.dumps({"device": f"cuda:{index}"}) for index in range(2))

    monkeypatch.setattr(examination, "trial", trial)
    monkeypatch.setattr(examination, "Children", TwoGpus)
    stream = io.StringIO()
    broken = examine("outputs", "data", None, [], Console(file=stream, width=80))
    assert sorted(tried) == ["cpu", "cuda:0", "cuda:1"]
    assert broken == ["cuda:1: failed its trial"]
    assert "!! cuda:1" in stream.getvalue() and not list(tmp_path.iterdir())
    assert examine("outputs", "data", ["no/device:x"], [], Console(file=io.StringIO())) == []
    assert examine("outputs", "data", ["cuda:0"], [], Console(file=io.StringIO())) == []
    assert tried[-1] == "cuda:0" and len(tried) == 5
