"""Whatever stands in a run's files, reports are written, and what cannot be a run's is listed as damaged."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from parity_exp.analysis.pages.comparison import write_comparison
from parity_exp.recordings.gathered import gather, read_run
from parity_exp.recordings.measures import PER_MILLE
from tests.analysis.many_runs import write_many_runs

Change = Callable[[dict[str, float]], str]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Some runs, and the one among them that tests damage."""
    folder = tmp_path_factory.mktemp("runs")
    return folder, write_many_runs(folder, 2, 3)[-1]


@contextmanager
def spoiled(path: Path, text: str) -> Iterator[None]:
    """A file holds something else inside the block."""
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def nested(depth: int) -> str:
    return '{"a": ' * depth + "1" + "}" * depth


def all_of(value: object) -> Change:
    """Every value another one."""
    return lambda metrics: json.dumps(dict.fromkeys(metrics, value))


def without(name: str) -> Change:
    """Of every policy one value less."""
    return lambda metrics: json.dumps({key: value for key, value in metrics.items() if not key.endswith(f"/{name}")})


def just(text: str) -> Change:
    return lambda _: text


DAMAGES: dict[str, Change] = {
    "only NaN": all_of(math.nan),
    "only infinity": all_of(math.inf),
    "huge numbers": all_of(1e308),
    "one huge number": lambda metrics: json.dumps({**metrics, "serve/parity/latency_ms/p99": -1e308}),
    "no time": lambda metrics: json.dumps({**metrics, "serve/parity/latency_ms/p99": 0}),
    "20 digits": all_of(12345678901234567890),
    "300 digits": all_of(10**299),
    "5000 digits": just('{"serve/parity/latency_ms/p99": ' + "9" * 5000 + "}"),
    "deep nesting": just(nested(100_000)),
    "some nesting": just(nested(200)),
    "texts": all_of("0.5"),
    "lists": all_of([0.5]),
    "nothing": just("{}"),
    "a list": just("[1, 2]"),
    "cut": lambda metrics: json.dumps(metrics)[:40],
    "no text": just("\x00\x01"),
    **{f"no {name}": without(name) for name in PER_MILLE},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_metrics_are_listed_and_stop_nothing(sound: tuple[Path, Path], tmp_path: Path, damage: str) -> None:
    folder, run = sound
    path = run / "metrics.json"
    before = path.read_text()
    path.write_text(DAMAGES[damage](json.loads(before)))
    try:
        gathered = gather([f"{folder}/**"])
        (found,) = (one for one in gathered if one.path == run)
        assert found.state == "damaged" and len(found.problems) == 1 and "metrics.json" in found.problems[0]
        assert len(found.problems[0]) < 300
        assert sum(one.state == "finished" for one in gathered) == len(gathered) - 1
        page = write_comparison([found], tmp_path, ["x"]).page
        assert "metrics.json" in page.read_text()
    finally:
        path.write_text(before)


@pytest.mark.parametrize("kind", ["NaN", "absent", "infinite", "zero", "negative"])
def test_a_report_is_written_whichever_value_is_odd(sound: tuple[Path, Path], tmp_path: Path, kind: str) -> None:
    _, run = sound
    path = run / "metrics.json"
    before = path.read_text()
    metrics = json.loads(before)
    odd = {"NaN": float("nan"), "infinite": float("inf"), "zero": 0.0, "negative": -1.0}
    try:
        for key in ("serve/parity/accuracy", "serve/parity/gap_ms", "all"):
            some = {k: v if key not in (k, "all") else odd.get(kind, v) for k, v in metrics.items()}
            if kind == "absent":
                some.pop(key, None)
            path.write_text(json.dumps(some))
            found = read_run(run)
            if found.state == "finished":
                write_comparison([found], tmp_path, ["x"])
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    "text",
    [
        "k: 2\nwhen: 2024-13-45\n",
        "k: 2\nload: " + "[" * 20_000,
        "k: 2\n\x00",
        "k: [2]\n",
        "- 1\n",
        "k: &a 2\nb: *c\n",
        "k: 2\ndataset: 3\nload: [1]\nredundancy: text\nstraggler: 7\nbase: 1\ntrainer: []\n",
        "k: .nan\n",
        "k: 2\n? [1, 2]\n: 3\n",
        "k: 2\nseed: 99999999999999999999999\n",
    ],
)
def test_a_config_that_is_none_stops_nothing(sound: tuple[Path, Path], tmp_path: Path, text: str) -> None:
    _, run = sound
    with spoiled(run / "config.yaml", text):
        assert write_comparison([read_run(run)], tmp_path, ["x"]).page.is_file()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"command": 3, "devices": {"a": 1}}', nested(100_000), '{"host": NaN}']
)
def test_an_environment_that_is_none_stops_nothing(sound: tuple[Path, Path], tmp_path: Path, text: str) -> None:
    _, run = sound
    with spoiled(run / "environment.json", text):
        assert write_comparison([read_run(run)], tmp_path, ["x"]).page.is_file()
