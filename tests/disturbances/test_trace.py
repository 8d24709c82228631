"""Straggler traces as files: they come back as they were, and bad ones are refused by place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity_exp.disturbances.timeline import Fault
from parity_exp.disturbances.trace import KINDS, Disturbance, read_trace, timelines, write_trace
from parity_exp.errors import UserError

MOMENTS = st.floats(0, 1e6)


@given(
    st.lists(
        st.builds(
            lambda kind, instance, start_s, length_s, factor, extra_ms: Disturbance(
                kind, instance, start_s, start_s + length_s, factor, extra_ms
            ),
            st.sampled_from(KINDS),
            st.integers(0, 100),
            MOMENTS,
            MOMENTS,
            st.floats(1e-3, 1e3),
            MOMENTS,
        )
    )
)
def test_a_trace_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, rows: list[Disturbance]) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.csv"
    write_trace(path, rows)
    assert read_trace(path) == rows


def read(folder: Path, text: str) -> list[Disturbance]:
    path = folder / "trace.csv"
    path.write_text(text)
    return read_trace(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("instance,start_s,end_s,factor\n1,0.5,2,3\n", Disturbance("slow", 1, 0.5, 2, 3)),
        ("instance,start_s,end_s,extra_ms\n1,0.5,2,30\n", Disturbance("slow", 1, 0.5, 2, 1, 30)),
        ("instance,start_s,end_s,factor,extra_ms\n1,0.5,2,,30\n", Disturbance("slow", 1, 0.5, 2, 1, 30)),
        ("instance,start_s,end_s,factor,extra_ms\n1,0.5,2,3,\n", Disturbance("slow", 1, 0.5, 2, 3, 0)),
        ("end_s, extra_ms ,start_s,instance\n2, 30,0.5 ,1.0\n", Disturbance("slow", 1, 0.5, 2, 1, 30)),
        ("kind,instance,start_s,end_s\nkill,1,2,2\n", Disturbance("kill", 1, 2, 2)),
        ("\ufeffkind,instance,start_s,end_s\r\n\r\n,1,0.5,2\r\n,,,\r\n", Disturbance("slow", 1, 0.5, 2)),
    ],
)
def test_what_is_left_out_is_neutral(tmp_path: Path, text: str, expected: Disturbance) -> None:
    assert read(tmp_path, text) == [expected]


HEADER = "kind,instance,start_s,end_s,factor,extra_ms\nslow,0,0,1,2,0\n\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("\n\n", ["empty"]),
        ("0,1,2,3\n", ["row 1", "unknown column '0'", "start_s"]),
        ("instance,start_s,end_s,slowness\n", ["row 1", "slowness"]),
        ("instance,start_s,factor\n", ["row 1", "end_s"]),
        ("instance,start_s,end_s\n", ["row 1", "factor or extra_ms"]),
        ("instance,start_s,end_s,factor,factor\n", ["row 1", "twice"]),
        (HEADER + "slow,0,-1,1,2,0\n", ["row 4", "start_s", "-1"]),
        (HEADER + "slow,0,2,1,2,0\n", ["row 4", "end_s", "1", "start_s=2"]),
        (HEADER + "slow,0,0,1,0,0\n", ["row 4", "factor", "above 0"]),
        (HEADER + "slow,0,0,1,-2,0\n", ["row 4", "factor", "-2"]),
        (HEADER + "slow,0,0,1,2,-3\n", ["row 4", "extra_ms", "-3"]),
        (HEADER + "slow,0,soon,1,2,0\n", ["row 4", "start_s", "soon"]),
        (HEADER + "slow,0,0,inf,2,0\n", ["row 4", "end_s", "inf"]),
        (HEADER + "slow,0,0,1,nan,0\n", ["row 4", "factor", "nan"]),
        (HEADER + "slow,0,0,,2,0\n", ["row 4", "end_s", "empty cell"]),
        (HEADER + "slow,-1,0,1,2,0\n", ["row 4", "instance", "-1", "whole number"]),
        (HEADER + "slow,1.5,0,1,2,0\n", ["row 4", "instance", "1.5"]),
        (HEADER + "melt,1,0,1,2,0\n", ["row 4", "kind", "melt", "slow, kill"]),
        (HEADER + "slow,1,0,1\n", ["row 4", "4 cells", "6 columns"]),
        (HEADER + "slow,1,0,1,2,0,7\n", ["row 4", "7 cells", "6 columns"]),
    ],
)
def test_a_bad_file_is_refused_by_row_and_column(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        read(tmp_path, text)
    line = str(refused.value)
    assert "\n" not in line
    assert all(word in line for word in [str(tmp_path / "trace.csv"), *words])


def test_what_is_not_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\x00\xfe")
    for path in (tmp_path, tmp_path / "binary", tmp_path / "missing"):
        with pytest.raises(UserError, match=str(path)):
            read_trace(path)


def test_timelines_know_slow_and_spoilt_rows_of_their_own_instance() -> None:
    rows = [
        Disturbance("slow", 0, 1, 3, factor=2),
        Disturbance("slow", 0, 2, 4, factor=3, extra_ms=500),
        Disturbance("kill", 1, 1, 1),
        Disturbance("contention", 1, 0, 9),
        Disturbance("slow", 7, 0, 9, factor=5),
        Disturbance("garbage", 0, 1, 2, factor=4),
        Disturbance("stuck", 7, 0, 9),
    ]
    first, second = timelines(rows, 2)
    assert [first.at(time_s) for time_s in (0, 1, 2, 3, 4)] == [(1, 0), (2, 0), (6, 0.5), (3, 0.5), (1, 0)]
    assert [first.fault(time_s) for time_s in (0, 1, 2)] == [None, Fault("garbage", 4), None]
    assert not second
