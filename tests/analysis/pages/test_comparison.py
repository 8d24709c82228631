"""Many runs on one page: what is gathered, what is compared with what, and what is said about broken ones."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from parity_exp.analysis.figures.colours import Palette
from parity_exp.analysis.figures.comparison import comparison_figures
from parity_exp.analysis.figures.policies_compared import pareto_front
from parity_exp.analysis.pages.comparison import Written, write_comparison
from parity_exp.analysis.pages.comparison_findings import encoder_findings, policy_findings
from parity_exp.analysis.pages.page import joints
from parity_exp.analysis.runs.differences import component_labels, flatten, variants, varying_keys
from parity_exp.analysis.runs.tidy import Tidy, measured_codes
from parity_exp.analysis.tables.comparison import accuracy_table, latency_table, serving_costs, training_costs
from parity_exp.recordings.gathered import gather, read_run
from parity_exp.recordings.search import find_run_directories
from tests.analysis.many_runs import Configs, break_runs, serving_metrics, training_metrics, write_many_runs, write_run
from tests.analysis.pages.test_run import CHROMIUM, PROBE, Page, chromium


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of 120 trained and 40 served runs."""
    folder = tmp_path_factory.mktemp("kept") / "outputs"
    write_many_runs(folder, 120, 40)
    return folder


@pytest.fixture(scope="module")
def few_kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of two trained and two served runs."""
    folder = tmp_path_factory.mktemp("few") / "outputs"
    write_many_runs(folder, 2, 2)
    return folder


@pytest.fixture
def few(few_kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(few_kept, tmp_path / "outputs"))


@pytest.fixture(scope="module")
def reported(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A report on them, below a copy of them."""
    return report(Path(shutil.copytree(kept, tmp_path_factory.mktemp("reported") / "outputs")))


@pytest.fixture
def outputs(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "outputs"))


@pytest.fixture(scope="module")
def configs() -> Configs:
    return Configs()


def report(outputs: Path) -> Written:
    folder = outputs / "report" / "2026-01-03" / "00-00-00"
    folder.mkdir(parents=True, exist_ok=True)
    return write_comparison(gather([f"{outputs}/**"]), folder, [f"{outputs}/**"])


class TestGathering:
    def test_patterns_lead_to_the_same_runs_however_they_are_written(
        self, outputs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(outputs.parent)
        runs = find_run_directories(["outputs/**"])
        assert len(runs) == 160
        for patterns in (["outputs"], ["outputs/"], ["**"], ["./outputs/**/"], ["outputs/train", "outputs/serve/**"]):
            assert [run.resolve() for run in find_run_directories(patterns)] == [run.resolve() for run in runs]
        assert find_run_directories(["outputs/**/metrics.json"]) == runs
        assert len(find_run_directories(["outputs/serve/**", "outputs/**", f"{outputs}/ser*"])) == 160
        assert find_run_directories(["nothing/**"]) == []

    def test_jobs_of_a_sweep_come_in_the_order_of_their_numbers(self, few: Path) -> None:
        first = find_run_directories([f"{few}/train"])[0]
        for number in range(2, 12):
            shutil.copytree(first, first.with_name(str(number)))
        names = [path.name for path in find_run_directories([f"{few}/train"])]
        assert names == [str(number) for number in range(12)]

    def test_configs_that_are_not_of_runs_are_passed_by(self, few: Path) -> None:
        outputs = few
        before = find_run_directories([str(outputs)])
        (outputs / "conf").mkdir()
        (outputs / "conf" / "config.yaml").write_text("defaults: [_self_]\nk: 2\n")
        tracker = before[0] / "wandb" / "offline-run" / "files"
        tracker.mkdir(parents=True)
        (tracker / "config.yaml").write_text("wandb_version: 1\n")
        other = outputs / "report" / "1"
        (other / ".hydra").mkdir(parents=True)
        (other / ".hydra" / "hydra.yaml").write_text("overrides:\n- hydra.job.name=report\n")
        (outputs / "loop").symlink_to(outputs)
        assert find_run_directories([str(outputs)]) == before

    @pytest.mark.slow
    def test_broken_runs_are_listed_with_one_line_each_and_stop_nothing(self, outputs: Path) -> None:
        said = break_runs(find_run_directories([str(outputs)])[:10])
        read = gather([str(outputs)])
        assert len(read) == 160
        wrong = {run.path: run for run in read if run.problems}
        assert wrong.keys() == said.keys()
        for path, word in said.items():
            assert wrong[path].problems[0].startswith(word)
            assert "\n" not in "".join(wrong[path].problems)
        assert sum(run.state == "finished" for run in read) == 160 - 7
        done = report(outputs)
        page = Page(done.page.read_text())
        assert all(word in page.text for word in said.values())
        assert "10 runs of 160 have something wrong or unfinished" in page.text
        assert len(done.runs) == 160
        assert done.runs["state"].value_counts()["damaged"] == 5

    def test_an_unfinished_run_says_how_far_it_came(self, few: Path) -> None:
        trained, served = (find_run_directories([str(few / kind)])[0] for kind in ("train", "serve"))
        whole = json.loads((served / "metrics.json").read_text())
        for run in (trained, served):
            (run / "metrics.json").unlink()
        assert "while it trained" in read_run(trained).problems[0]
        assert "after equal_resources, hedged, none, parity was served" in read_run(served).problems[0]
        of_hedged = {name: value for name, value in whole.items() if name.startswith("serve/hedged/")}
        (served / "metrics.json").write_text(json.dumps(of_hedged))
        assert read_run(served).problems == [
            "no metrics of equal_resources, none, parity: " + "still at work, or stopped while it served"
        ]


class TestDifferences:
    def test_values_that_go_together_are_one_difference(self) -> None:
        flats = [flatten({"k": 2, "seed": seed, "base": {"seed": seed, "max_epochs": 30}}) for seed in (0, 1)]
        assert varying_keys(flats) == {"seed": ["base.seed"]}

    def test_components_differ_by_class_and_by_their_own_settings(self) -> None:
        addition = {"encoder": {"_target_": "parity_exp.coding.AdditionEncoder", "trainable": False}}
        wide, narrow = ({"encoder": {"_target_": "a.b.MyEncoder", "width": width}} for width in (4, 2))
        flats = [flatten(config) for config in (addition, wide, narrow)]
        assert varying_keys(flats) == {"encoder": [], "encoder.width": []}
        assert component_labels(flats, "encoder", "Encoder") == ["addition", "my (width=4)", "my (width=2)"]

    def test_several_components_differ_by_their_names(self) -> None:
        slow = {"straggler": {"slowdown": {"_target_": "a.Slowdown", "probability": 0.1}}}
        flats = [flatten(config) for config in (slow, {"straggler": {}}, {"straggler": {**slow["straggler"], "b": {}}})]
        assert [flat["straggler"] for flat in flats] == ["slowdown", "none", "slowdown, b"]
        assert list(varying_keys(flats)) == ["straggler"]

    def test_seeds_and_places_make_no_variant(self) -> None:
        configs = [{"seed": 0, "outputs": "a", "lr": 0.1}, {"seed": 1, "outputs": "b", "lr": 0.01}]
        assert variants([flatten(config) for config in configs], ()) == ["lr=0.1", "lr=0.01"]


class TestTables:
    def test_accuracy_is_averaged_over_seeds_alone(self, tmp_path: Path, configs: Configs) -> None:
        rng = np.random.default_rng(0)
        degraded = {(0, 30): 0.9, (1, 30): 0.8, (0, 5): 0.3}
        for (seed, epochs), value in degraded.items():
            config = configs("digits", "mlp", "addition", "shuffle")
            config |= {"seed": seed, "trainer": {**config["trainer"], "max_epochs": epochs}}
            metrics = training_metrics(2, "addition", "digits", rng) | {"test/degraded_accuracy": value}
            write_run(tmp_path / f"{seed}-{epochs}", config, metrics, "train")
        table = accuracy_table(measured_codes(Tidy(gather([str(tmp_path)]))))
        rows = table.set_index("variant")
        assert rows.loc["trainer.max_epochs=30", "degraded"].split() == ["0.8500", "±", "0.0707"]
        assert rows.loc["trainer.max_epochs=5", "degraded"] == "0.3000"
        assert list(table["runs"]) == [2, 1]

    def test_an_evaluation_of_a_run_that_is_there_is_not_counted_twice(self, tmp_path: Path, configs: Configs) -> None:
        metrics = training_metrics(2, "addition", "digits", np.random.default_rng(0))
        config = configs("digits", "mlp", "addition", "shuffle")
        write_run(tmp_path / "train" / "1", config, metrics, "train")
        tested = {key: value for key, value in metrics.items() if key.startswith("test/")}
        write_run(tmp_path / "evaluate" / "1", config | {"run": str(tmp_path / "train" / "1")}, tested, "evaluate")
        write_run(tmp_path / "evaluate" / "2", config | {"run": "of/another/folder"}, tested, "evaluate")
        tidy = Tidy(gather([str(tmp_path)]))
        assert len(tidy.runs) == 3
        assert [Path(run).parts[-2:] for run in measured_codes(tidy)["run"]] == [("evaluate", "2"), ("train", "1")]

    def test_serving_repeats_what_is_known_of_the_trained_run(self, kept: Path) -> None:
        serving = Tidy(gather([str(kept)])).serving
        assert len(serving) == 160
        assert serving["train/parity_seconds"].notna().all()
        assert set(serving["setting"]) == {"straggler=shuffle", "straggler=slowdown"}
        assert set(serving["utilisation"]) == {0.3, 0.5, 0.7, 0.85}
        assert set(latency_table(serving)["load"]) == {"30 %", "50 %", "70 %", "85 %"}

    def test_costs_are_told_where_they_were_measured(self, kept: Path) -> None:
        tidy = Tidy(gather([str(kept)]))
        costs = serving_costs(tidy.serving)
        assert {"extra instances", "tasks a query", "encode us", "decode us", "parity training, s"} <= set(costs)
        assert "frontend us" not in costs
        assert list(costs["policy_variant"].unique()) == ["equal_resources", "hedged", "none", "parity"]
        assert {"seconds per epoch", "parity training, s"} <= set(training_costs(measured_codes(tidy)))

    def test_degraded_accuracy_is_told_by_losses(self, tmp_path: Path, configs: Configs) -> None:
        metrics = training_metrics(4, "addition", "digits", np.random.default_rng(0))
        metrics |= {"test/losses_1/degraded_accuracy": 0.8, "test/losses_2/degraded_accuracy": 0.6}
        write_run(tmp_path / "1", configs("digits", "mlp", "addition", "shuffle") | {"k": 4, "r": 2}, metrics, "train")
        table = accuracy_table(measured_codes(Tidy(gather([str(tmp_path)]))))
        assert list(table["degraded, 2 lost"]) == ["0.6000"]

    @pytest.mark.slow
    def test_csv_and_parquet_hold_the_same(self, reported: Written) -> None:
        for name in ("runs", "serving"):
            comma = pd.read_csv(reported.page.parent / f"{name}.csv")
            columns = pd.read_parquet(reported.page.parent / f"{name}.parquet")
            assert list(comma.columns) == list(columns.columns)
            assert len(comma) == len(columns) > 0
            assert set(comma["k"]) == set(columns["k"]) >= {2, 3, 4}
        assert pd.api.types.is_integer_dtype(columns["k"])

    def test_values_of_unlike_types_become_text(self, tmp_path: Path, configs: Configs) -> None:
        for number, limit in enumerate((None, 400, "all", True)):
            config = configs("digits", "mlp", "addition", "shuffle")
            config |= {"dataset": {**config["dataset"], "limit": limit}}
            write_run(tmp_path / str(number), config, {"test/degraded_accuracy": 0.5, "test/available_accuracy": 1}, "")
        done = write_comparison(gather([str(tmp_path)]), tmp_path, [str(tmp_path)])
        written = pd.read_parquet(tmp_path / "runs.parquet")["dataset.limit"]
        assert [value for value in written if isinstance(value, str)] == ["400", "all", "True"]
        assert done.page.is_file()


class TestFindings:
    def test_encoders_are_named_best_first(self, kept: Path) -> None:
        sentences = encoder_findings(measured_codes(Tidy(gather([str(kept)]))))
        assert len(sentences) == 4
        assert re.search(
            r"digits, MLP, available accuracy 96.0 %.*k = 4: convolutional [\d.]+ %, addition", sentences[1]
        )

    def test_policies_are_compared_with_the_baseline_of_the_same_runs(self, kept: Path) -> None:
        parity, _, none = policy_findings(Tidy(gather([str(kept)])).serving)
        assert parity.startswith("parity against equal_resources, 40 runs: p99.9 lower in 40, higher in 0")
        assert "accuracy of what clients got -1.20 points" in parity
        assert "lower in 0, higher in 40" in none


class TestFigures:
    def test_every_figure_is_drawn_where_the_runs_support_it(self, kept: Path) -> None:
        tidy = Tidy(gather([str(kept)]))
        assert set(comparison_figures(measured_codes(tidy), tidy.serving)) == {
            "degraded_by_k",
            "overall_accuracy",
            "delivered_accuracy",
            "latency_by_utilisation",
            "gap_by_instances",
            "gap_by_tasks",
            "accuracy_against_latency",
        }

    def test_a_single_run_has_no_figure_that_compares(self, few_kept: Path) -> None:
        tidy = Tidy([read_run(find_run_directories([str(few_kept / "train")])[0])])
        assert set(comparison_figures(measured_codes(tidy), tidy.serving)) == {"overall_accuracy"}

    def test_rates_have_a_picture_of_their_own(self, tmp_path: Path, configs: Configs) -> None:
        for number, rate_qps in enumerate((150, 250, 390)):
            config = configs("digits", "mlp", "addition", "shuffle")
            config |= {"load": {**config["load"], "rate_qps": rate_qps}}
            metrics = serving_metrics(2, rate_qps / 600, np.random.default_rng(0))
            write_run(tmp_path / str(number), config, metrics, "serve")
        tidy = Tidy(gather([str(tmp_path)]))
        pictures = comparison_figures(measured_codes(tidy), tidy.serving)
        assert "latency_by_rate" in pictures and "latency_by_utilisation" not in pictures
        assert list(latency_table(tidy.serving)["load"].unique()) == ["150 q/s", "250 q/s", "390 q/s"]

    def test_the_pareto_front_is_what_nothing_else_beats(self) -> None:
        cost = pd.Series([1.0, 2.0, 2.0, 3.0, 4.0, float("nan")], index=list("abcdef"))
        value = pd.Series([0.5, 0.6, 0.7, 0.7, 0.9, 1.0], index=list("abcdef"))
        assert pareto_front(cost, value) == ["a", "c", "e"]

    def test_encoders_keep_their_colours(self) -> None:
        palette = Palette(declared={"addition": "#332288", "concatenation": "#cc6677"})
        few, many = palette.encoders(["mine"]), palette.encoders(["mine", "concatenation", "addition", "other"])
        assert many["addition"] == "#332288"
        assert few["mine"] == many["mine"] == palette.encoders(["addition", "mine"])["mine"]
        assert len(set(many.values())) == 4


class TestPage:
    def test_words_have_joints_and_lose_nothing(self) -> None:
        assert joints("a/b_c=d") == ["a/", "b_", "c=", "d"]
        assert joints("0.5 ± 0.1") == ["0.", "5 ± 0.", "1"]
        long = "x" * 100 + " and more"
        assert "".join(joints(long)) == long
        assert max(len(word) for piece in joints(long) for word in piece.split()) == 24
        assert joints("") == []

    @pytest.mark.slow
    def test_a_page_is_complete_in_itself_and_links_to_the_runs(self, outputs: Path) -> None:
        odd = outputs / "train" / "50 % & more"
        shutil.copytree(find_run_directories([str(outputs / "train")])[0], odd)
        done = report(outputs)
        page = Page(done.page.read_text())
        assert "script" not in page.tags
        assert all(source.startswith("data:image/png;base64,") for source in page.sources)
        assert len(page.sources) == 8
        assert not re.search(r"url\(|@import|https?://", done.page.read_text())
        inside = [link for link in page.links if link.startswith("#")]
        assert len(inside) == 8 and all(link[1:] in page.anchors for link in inside)
        runs = [done.page.parent / unquote(link) for link in page.links if not link.startswith("#")]
        assert all(path.exists() for path in runs)
        assert {path.resolve() for path in runs} >= {odd.resolve()}
        assert sum(path.name == "report.html" for path in runs) == 40

    @pytest.mark.slow
    def test_config_keys_that_differ_are_listed_with_their_values(self, reported: Written) -> None:
        text = Page(reported.page.read_text()).text
        assert "load.utilisation 0.3 (10), 0.5 (10), 0.7 (10), 0.85 (10), null (120)" in text
        assert "encoder AdditionEncoder (60), ConcatenationEncoder (60), ConvolutionalEncoder (40)" in text
        assert "dataset Digits (100), FashionMNIST (60)" in text

    @pytest.mark.slow
    def test_a_later_report_does_not_report_on_an_earlier_one(self, reported: Written) -> None:
        outputs = reported.page.parents[3]
        assert outputs.name == "outputs"
        assert len(gather([str(outputs)])) == len(reported.runs) == 160

    def test_runs_that_are_all_broken_have_a_page(self, tmp_path: Path) -> None:
        for name, content in {"a": "", "b": "k: [", "c": "- 1"}.items():
            (tmp_path / name / ".hydra").mkdir(parents=True)
            (tmp_path / name / "config.yaml").write_text(content)
        done = write_comparison(gather([str(tmp_path)]), tmp_path, ["x"])
        assert "3 runs" in Page(done.page.read_text()).text
        assert list(done.runs["state"]) == ["damaged"] * 3

    def test_values_cannot_become_markup(self, tmp_path: Path, configs: Configs) -> None:
        for number, name in enumerate(("<script>alert(1)</script>", "b")):
            config = configs("digits", "mlp", "addition", "shuffle")
            config |= {"dataset": {**config["dataset"], "name": name}, "k": 2 + number}
            metrics = training_metrics(2, "addition", "digits", np.random.default_rng(0))
            write_run(tmp_path / f"<img src=x>{number}", config, metrics, "train")
        page = Page(write_comparison(gather([str(tmp_path)]), tmp_path, ["x"]).page.read_text())
        assert "script" not in page.tags
        assert "<script>alert(1)</script>" in page.text

    @pytest.mark.draws
    @pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
    def test_a_browser_shows_the_page_without_complaint_and_without_scrolling_sideways(
        self, outputs: Path, tmp_path: Path
    ) -> None:
        runs = find_run_directories([str(outputs)])
        break_runs(runs[:10])
        odd = runs[20] / "config.yaml"
        odd.write_text(odd.read_text().replace("limit: null", f"limit: {'avaluewithoutend' * 20}", 1))
        page = report(outputs).page
        seen = chromium(tmp_path, page)
        assert "CONSOLE" not in seen.stderr, seen.stderr
        # The page forbids scripts; a copy that allows one, with its folded tables open, measures itself.
        copy = tmp_path / "probe.html"
        copy.write_text(
            re.sub(r"<meta http-equiv=[^>]*>", PROBE, page.read_text()).replace("<details>", "<details open>")
        )
        found = re.search(r'data-probe="([^"]*)"', chromium(tmp_path, copy).stdout)
        assert found
        probe = json.loads(found[1].replace("&quot;", '"'))
        assert probe["width"] <= 1280
        assert not probe["wide"]
        assert len(probe["images"]) == 8 and all(width > 100 for width in probe["images"])
