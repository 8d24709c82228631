"""Servers that the same load was played against, in one picture and one table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parity_exp.analysis.figures.servers import server_tails
from parity_exp.analysis.pages.comparison import write_comparison
from parity_exp.analysis.runs.servers import Played, played
from parity_exp.analysis.runs.tidy import Tidy
from parity_exp.recordings.gathered import gather
from parity_exp.recordings.measures import PER_MILLE
from parity_exp.recordings.run_directory import RunDirectory
from tests.analysis.many_runs import Configs, write_run

TAILS_MS = {"ours": 30.0, "triton": 80.0, "litserve": 200.0}
QUERIES, LOST = 2_000, 20
CONFIGS = Configs()


def write_played(folder: Path, server: str, rate_qps: float, tail_ms: float, lost: int = 0) -> None:
    """A run of ``load``: most answers take 10 ms, the latest twenty up to that."""
    config = CONFIGS("digits", "mlp", "addition", "none")
    config["load"] = {**config["load"], "rate_qps": rate_qps, "utilisation": None}
    latency_ms = np.full(QUERIES, 10.0)
    latency_ms[-20:] = np.linspace(11, tail_ms, 20)
    values = {f"latency_ms/{name}": tail_ms if share > 990 else 10.0 for name, share in PER_MILLE.items()}
    values |= {"latency_ms/mean": 10.0, "latency_ms/max": tail_ms, "gap_ms": tail_ms - 10, "queries": QUERIES}
    values |= {"lost": lost, "throughput_qps": rate_qps}
    metrics = {f"serve/{server}/{key}": value for key, value in values.items()} | {"serve/rate_qps": rate_qps}
    write_run(folder, config, metrics, "load")
    pd.DataFrame({"latency_ms": latency_ms}).to_parquet(RunDirectory(folder).queries(server))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("played")
    for server, tail_ms in TAILS_MS.items():
        write_played(folder / server, server, 200.0, tail_ms, LOST if server == "litserve" else 0)
    write_played(folder / "alone", "ours", 300.0, 40.0)
    return folder


def test_servers_under_one_load_share_a_panel_with_their_tails_and_what_they_lost(runs: Path) -> None:
    gathered = gather([str(runs)])
    plate = server_tails(played(gathered, Tidy(gathered)))
    assert plate is not None and plate.left_out == 0
    (axis,) = plate.figure.axes  # of the load that one server alone has there is nothing to compare
    lines = {line.get_label().partition(":")[0]: line for line in axis.lines if ":" in str(line.get_label())}
    assert set(lines) == set(TAILS_MS)
    for server, line in lines.items():
        assert max(line.get_xdata()) == TAILS_MS[server]
        asked = QUERIES + (LOST if server == "litserve" else 0)
        assert min(line.get_ydata()) == pytest.approx((asked - QUERIES + 1) / asked)
    assert "20 lost" in lines["litserve"].get_label() and "lost" not in lines["ours"].get_label()
    assert (
        len({line.get_color() for line in lines.values()})
        == len({line.get_linestyle() for line in lines.values()})
        == 3
    )


def test_one_server_alone_makes_no_picture() -> None:
    one = Played("ours", "200 q/s", np.array([1.0, 2.0]), 0)
    assert server_tails([one, one]) is None
    assert server_tails([]) is None
    nothing = Played("dead", "200 q/s", np.array([]), 9)
    assert server_tails([one, nothing]) is None


def test_a_report_has_the_picture_and_a_table_of_servers(runs: Path, tmp_path: Path) -> None:
    written = write_comparison(gather([str(runs)]), tmp_path, [str(runs)])
    assert (tmp_path / "figures" / "server_tails.png").is_file()
    page = written.page.read_text()
    assert "Servers that the same load was played against" in page and "answers/s" in page


def test_a_run_whose_recording_is_gone_does_not_stop_the_others(runs: Path, tmp_path: Path) -> None:
    for server in ("ours", "triton"):
        write_played(tmp_path / server, server, 200.0, 50.0)
    write_played(tmp_path / "gone", "gone", 200.0, 50.0)
    RunDirectory(tmp_path / "gone").queries("gone").unlink()
    gathered = gather([str(tmp_path)])
    assert {one.server for one in played(gathered, Tidy(gathered))} == {"ours", "triton"}


def test_servers_stand_beside_runs_that_know_their_instances(runs: Path, tmp_path: Path) -> None:
    config = CONFIGS("digits", "mlp", "addition", "none")
    values = {f"latency_ms/{name}": 10.0 for name in PER_MILLE} | {"latency_ms/mean": 9.0, "latency_ms/max": 20.0}
    values |= {"gap_ms": 1.0, "queries": 10, "instances": 4, "extra_instances": 0, "tasks_per_query": 1.0}
    write_run(tmp_path / "served", config, {f"serve/none/{key}": value for key, value in values.items()}, "serve")
    write_played(tmp_path / "asked", "triton", 200.0, 50.0)
    gathered = gather([str(tmp_path)])
    (tmp_path / "report").mkdir()
    written = write_comparison(gathered, tmp_path / "report", [str(tmp_path)])
    assert set(written.serving["policy"]) == {"none", "triton"}
