"""The report: one file, complete in itself, from whatever a run directory holds."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from parity_exp.analysis.figures.files import save
from parity_exp.analysis.figures.serving import serving_figures
from parity_exp.analysis.pages.run import write_report
from parity_exp.errors import UserError
from tests.analysis.recordings import SLO_MS, Recordings

pytestmark = pytest.mark.draws

CONFIG = {
    "k": 2,
    "r": 1,
    "seed": 0,
    "dataset": {"_target_": "parity_exp.data.Digits", "name": "digits", "size": 16},
    "architecture": {"_target_": "parity_exp.models.MLP", "hidden": [200, 100]},
    "encoder": {"_target_": "parity_exp.coding.AdditionEncoder"},
    "decoder": {"_target_": "parity_exp.coding.SubtractionDecoder"},
    "trainer": {"max_epochs": 20},
    "base": {"checkpoint": None, "max_epochs": 30},
}
SERVING = {
    "redundancy": {"parity": {"_target_": "parity_exp.policies.Parity"}},
    "straggler": {"slowdown": {"_target_": "parity_exp.disturbances.Slowdown", "probability": 0.1}},
    "load": {"_target_": "parity_exp.load.Poisson", "queries": 2000, "utilisation": 0.5, "slo_ms": SLO_MS},
    "pool": {"_target_": "parity_exp.serving.pools.LocalPool", "instances": 4, "service_time_ms": 20.0},
}
ACCURACY = {
    "test/available_accuracy": 0.96,
    "test/degraded_accuracy": 0.9,
    "test/degraded_accuracy_top2": 0.95,
    "test/reconstruction_accuracy": 0.92,
    "train/epochs": 20,
}

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """<script>addEventListener("load", () => { document.documentElement.dataset.probe = JSON.stringify({
  width: document.documentElement.scrollWidth, images: [...document.images].map(image => image.naturalWidth),
  wide: [...document.querySelectorAll("main *, header *")].filter(part => part.scrollWidth > part.clientWidth + 1
    && getComputedStyle(part).display != "inline").map(part => part.tagName) }) })</script>"""


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    return Recordings()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, recordings: Recordings) -> Path:
    """A folder with the figures of a serving run."""
    folder = tmp_path_factory.mktemp("figures")
    save(serving_figures(recordings.queries, recordings.tasks, recordings.trace, SLO_MS), folder)
    return folder


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """What a training run leaves, as far as a report reads it."""
    folder = tmp_path / "train"
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(CONFIG), folder / "config.yaml")
    OmegaConf.save(OmegaConf.create(["trainer.max_epochs=20", "dataset.size=16"]), folder / ".hydra" / "overrides.yaml")
    (folder / "metrics.json").write_text(json.dumps(ACCURACY))
    (folder / "environment.json").write_text(json.dumps({"python": "3.12", "packages": {"torch": "2.14.1"}}))
    pd.DataFrame({"fraction_unavailable": [0, 0.1], "overall_accuracy": [0.96, 0.954]}).to_csv(folder / "overall.csv")
    pd.DataFrame({"class": ["cat", "dog"], "degraded_accuracy": [0.9, 0.8]}).to_csv(folder / "per_class.csv")
    picture = Figure(figsize=(9, 3))
    picture.subplots().plot([1, 2])
    save({"overall_accuracy": picture, "learning_curves": picture, "of_a_user": picture}, folder / "figures")
    return folder


@pytest.fixture
def served(trained: Path, recordings: Recordings, pictures: Path) -> Path:
    """What a run that trained and served leaves."""
    OmegaConf.save(OmegaConf.create({**CONFIG, **SERVING}), trained / "config.yaml")
    recordings.save(trained)
    (trained / "metrics.json").write_text(json.dumps({**ACCURACY, **recordings.metrics}))
    shutil.copytree(pictures, trained / "figures", dirs_exist_ok=True)
    return trained


class Page(HTMLParser):
    """Words, headings, links and images of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.append(tag)
        self.anchors.add(values.get("id", ""))
        self.links += [values["href"]] if "href" in values else []
        self.sources += [values["src"]] if "src" in values else []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def page_of(run_dir: Path) -> Page:
    path = write_report(run_dir)
    assert path == run_dir / "report.html"
    return Page(path.read_text())


def test_a_run_that_only_trained_has_a_report_without_serving(trained: Path) -> None:
    page = page_of(trained)
    assert "digits, MLP: addition encoder, subtraction decoder, k = 2, r = 1" in page.text
    assert "a reconstructed one in 90.0 %: 6.0 points less" in page.text
    assert "trainer.max_epochs=20 dataset.size=16" in page.text
    assert "torch 2.14.1" in page.text
    assert len(page.sources) == 3
    assert "serving" not in page.anchors
    assert "p99.9 ms" not in page.text


def test_a_run_that_served_says_what_the_code_bought(served: Path, recordings: Recordings) -> None:
    page = page_of(served)
    assert "served by equal_resources, parity; under slowdown" in page.text
    assert "parity (6 instances): p99.9" in page.text
    assert "Instances sleep until a task has taken 20 ms (pool.service_time_ms), burning no CPU" in page.text
    assert "A query without an answer after 400 ms got the default prediction" in page.text
    assert "of what the base instances can serve" in page.text
    assert f"slow {len(recordings.trace) - 1}" in page.text
    assert len(page.sources) == 3 + 7


def test_a_page_is_complete_in_itself(served: Path) -> None:
    page = page_of(served)
    assert "script" not in page.tags
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert all(link.startswith("#") and link[1:] in page.anchors for link in page.links)
    assert not re.search(r"url\(|@import|https?://", (served / "report.html").read_text())
    for source in page.sources:
        assert base64.b64decode(source.partition(",")[2]).startswith(b"\x89PNG")


def test_a_run_that_only_served_draws_what_is_missing(served: Path, recordings: Recordings) -> None:
    shutil.rmtree(served / "figures")
    for name in ("overall.csv", "per_class.csv", "environment.json", ".hydra/overrides.yaml"):
        (served / name).unlink()
    (served / "metrics.json").write_text(json.dumps(recordings.metrics))
    page = page_of(served)
    assert len(page.sources) == 7
    assert "parity (6 instances): p99.9" in page.text
    assert "degraded accuracy 0." not in page.text


def test_an_interrupted_run_has_a_report_of_what_was_recorded(served: Path, recordings: Recordings) -> None:
    (served / "metrics.json").unlink()
    for path in served.glob("*-equal_resources.*"):
        path.unlink()
    queries = served / "queries-parity.parquet"
    pd.read_parquet(queries).head(700).to_parquet(queries)
    page = page_of(served)
    assert "700 of 2,000 queries measured; the run ended before" in page.text
    assert "p99.9 of 700 queries rests on the slowest 1" in page.text


def test_a_run_that_has_hardly_begun_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("k: 2\n")
    assert "What was run" in page_of(tmp_path).text


def test_a_closed_loop_is_described_by_its_clients(served: Path) -> None:
    pd.DataFrame({"scheduled_s": [0.0] * 16}).to_csv(served / "arrivals.csv", index=False)
    text = page_of(served).text
    assert "16 clients; each sent its next query when its last was answered" in text
    assert "a second on average" not in text


def test_values_cannot_become_markup(served: Path) -> None:
    config = OmegaConf.create({**CONFIG, **SERVING, "dataset": {"name": "<script>alert(1)</script>"}})
    OmegaConf.save(config, served / "config.yaml")
    page = page_of(served)
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_other_folders_and_damaged_files_are_refused_in_one_line(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a run directory"):
        write_report(tmp_path)
    (trained / "metrics.json").write_text('{"test/avail')
    with pytest.raises(UserError, match=r"metrics\.json: not readable as JSON"):
        write_report(trained)


def chromium(folder: Path, page: Path) -> "subprocess.CompletedProcess[str]":
    """The page's document after loading, and what the browser had to say about it."""
    assert CHROMIUM
    quiet = (
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-quic",
    )
    flags = ["headless", "no-sandbox", "disable-gpu", *quiet, f"user-data-dir={folder / 'profile'}"]
    flags += ["window-size=1280,1600", "enable-logging=stderr", "virtual-time-budget=5000", "dump-dom"]
    return subprocess.run(
        [CHROMIUM, *(f"--{flag}" for flag in flags), page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_shows_the_page_without_complaint_and_without_scrolling_sideways(
    served: Path, tmp_path: Path, recordings: Recordings
) -> None:
    long = {
        key.replace("/parity/", "/a_policy_of_somebody_with_a_long_name_indeed/"): value
        for key, value in recordings.metrics.items()
    }
    long |= {key.replace("reconstructed", "backup"): 0.123 for key in long if key.endswith("reconstructed")}
    long |= {key: 12345.0 for key in long if "latency_ms" in key or key.endswith("gap_ms")}
    (served / "metrics.json").write_text(json.dumps({**ACCURACY, **recordings.metrics, **long}))
    report = write_report(served)
    seen = chromium(tmp_path, report)
    assert "CONSOLE" not in seen.stderr, seen.stderr

    # The page forbids scripts; a copy that allows one measures itself.
    copy = tmp_path / "probe.html"
    copy.write_text(re.sub(r"<meta http-equiv=[^>]*>", PROBE, report.read_text()))
    dumped = chromium(tmp_path, copy).stdout
    found = re.search(r'data-probe="([^"]*)"', dumped)
    assert found, dumped[:500]
    probe = json.loads(found[1].replace("&quot;", '"'))
    assert probe["width"] <= 1280
    assert not probe["wide"]
    assert len(probe["images"]) == 10
    assert all(width > 100 for width in probe["images"])
