"""What a policy's cluster meets is the same whatever other policies are listed beside it."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity_exp.disturbances import Replay, compose
from parity_exp.disturbances.helpers import Burner, TenantService
from parity_exp.disturbances.trace import Disturbance, read_trace, write_trace
from parity_exp.disturbances.worlds import in_order, put_together, world_of
from tests.disturbances.test_stragglers import MODELS, SERVICE_S

ROWS = st.lists(st.builds(Disturbance, st.just("slow"), st.integers(0, 5), st.integers(0, 3), st.integers(3, 6)))


@given(st.dictionaries(st.integers(1, 6), ROWS, min_size=1))
def test_each_cluster_finds_its_own_trace_in_the_file(worlds: dict[int, list[Disturbance]]) -> None:
    there = {size: in_order(row for row in rows if row.instance < size) for size, rows in worlds.items()}
    rows = put_together(there)
    for size, own in there.items():
        assert [row for row in in_order(world_of(rows, size)) if row.instance < size] == own


@pytest.mark.parametrize("names", [*itertools.combinations(MODELS, 1), *itertools.combinations(MODELS, 2), (*MODELS,)])
def test_a_file_of_several_clusters_replays_exactly_on_each(names: tuple[str, ...], tmp_path: Path) -> None:
    models = {name: MODELS[name] for name in names}
    worlds = {size: compose(models, size, 20, 3, SERVICE_S) for size in (6, 4, 12)}
    write_trace(tmp_path / "trace.csv", put_together(worlds))
    replay = Replay(str(tmp_path / "trace.csv"), Burner(), TenantService())
    for size, own in worlds.items():
        replayed = compose({"trace": replay}, size, 1, 99, 1.0)
        assert [row for row in replayed if row.instance < size] == own


def test_a_file_of_one_cluster_says_nothing_of_sizes(tmp_path: Path) -> None:
    rows = compose(MODELS, 6, 20, 3, SERVICE_S)
    assert put_together({6: rows}) == rows
    write_trace(tmp_path / "trace.csv", put_together({6: rows}))
    assert (tmp_path / "trace.csv").read_text().startswith("kind,instance,start_s,end_s,factor,extra_ms\n")


def test_rows_that_a_larger_cluster_only_adds_to_stand_once() -> None:
    slowdown = {"slowdown": MODELS["slowdown"]}
    worlds = {size: compose(slowdown, size, 20, 3, SERVICE_S) for size in (6, 4)}
    assert put_together(worlds) == worlds[6]


def test_rows_of_one_size_are_written_and_read_back(tmp_path: Path) -> None:
    rows = [Disturbance("slow", 0, 0.0, 1.0, 2.0, 0.0, 4), Disturbance("slow", 1, 0.0, 1.0, 2.0)]
    write_trace(tmp_path / "trace.csv", rows)
    assert read_trace(tmp_path / "trace.csv") == rows
    assert world_of(rows, 6) == [rows[1]]
