"""Stragglers that change: parts of a run, instances lost and added, machines measured over time."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_exp import simulate
from parity_exp.checks import SettingError
from parity_exp.disturbances import Constant, Crash, Degraded, MachineTrace, Phases, Resize, Slowdown, Straggler
from parity_exp.disturbances.straggler import NotThereError
from parity_exp.disturbances.trace import GONE, KILL, SLOW, Disturbance
from parity_exp.errors import UserError
from parity_exp.load import Constant as ConstantLoad
from parity_exp.policies import NoRedundancy, Oracle


def trace(straggler: Straggler, instances: int = 6, duration_s: float = 100, seed: int = 0) -> list[Disturbance]:
    return straggler.trace(instances, duration_s, np.random.default_rng(seed), 0.02)


class TestPhases:
    def test_each_part_has_its_own_from_its_beginning_to_its_end(self) -> None:
        rows = trace(
            Phases(
                {
                    "slow": {"end_s": 20, "degraded": Degraded(factor=3)},
                    "late": {"start_s": 20, "end_s": 60, "slowdown": Slowdown(0.1, Constant(2.0))},
                    "dead": {"start_s": 50, "crash": Crash(times_s=[5, 70]), "degraded": Degraded(factor=5)},
                }
            )
        )
        (first,) = [row for row in rows if row.factor == 3]
        assert (first.start_s, first.end_s) == (0, 20)
        late = [row for row in rows if row.extra_ms]
        assert 20 <= min(row.start_s for row in late) < 21 and 59 < max(row.end_s for row in late) <= 60
        assert [row.start_s for row in rows if row.kind == KILL] == [55], "70 s is beyond the end of the run"
        (last,) = [row for row in rows if row.factor == 5]
        assert (last.start_s, last.end_s) == (50, 100)

    @pytest.mark.parametrize(
        ("parts", "words"),
        [
            ({}, ["parts", "start_s"]),
            ({"one": 5}, ["parts", "5"]),
            ({"one": {"start_s": 5, "end_s": 5, "crash": Crash()}}, ["parts.one.end_s=5", "start_s=5"]),
            ({"one": {"start_s": -1, "crash": Crash()}}, ["parts.one.start_s=-1"]),
            ({"one": {"crash": "often"}}, ["parts.one.crash=often", "a straggler"]),
            ({"one": {"start_s": 1}}, ["parts.one", "no straggler"]),
        ],
    )
    def test_what_cannot_be_is_refused(self, parts: Any, words: list[str]) -> None:
        with pytest.raises(SettingError) as refused:
            Phases(parts)
        assert all(word in str(refused.value) for word in words)

    def test_instances_that_a_part_names_and_there_are_not_are_named(self) -> None:
        with pytest.raises(SettingError, match=r"parts.one.degraded.instance"):
            trace(Phases({"one": {"degraded": Degraded(instance=7)}}))


class TestResize:
    def test_who_was_lost_last_comes_back_first(self) -> None:
        rows = trace(Resize([[10, -2], [20, -1], [30, 2]]))
        assert {row.kind for row in rows} == {GONE}
        assert len({row.instance for row in rows}) == 3
        assert sorted((row.start_s, row.end_s) for row in rows) == [(10, 30), (10, 100), (20, 30)]

    def test_a_cluster_that_grows_begins_without_what_will_be_added(self) -> None:
        rows = trace(Resize([[0, -3], [40, 3]]))
        assert [(row.start_s, row.end_s) for row in rows] == [(0, 40)] * 3

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ([[10, 2]], ["at 10 s", "2 more", "[0, -2]"]),
            ([[10]], ["change 1", "[10]"]),
            ([[10, -1.5]], ["change 1", "whole number"]),
            ([[-1, -1]], ["change 1", "0 or more seconds"]),
            ([[1, 0]], ["change 1"]),
        ],
    )
    def test_what_cannot_be_is_refused(self, changes: Any, words: list[str]) -> None:
        with pytest.raises(SettingError) as refused:
            Resize(changes)
        assert all(word in str(refused.value) for word in words)

    def test_somebody_is_always_there(self) -> None:
        with pytest.raises(SettingError, match="6 instances would be gone, of 6"):
            trace(Resize([[10, -6]]))

    def test_a_simulation_serves_with_who_is_there(self) -> None:
        # Two instances serve 100 q/s of 20 ms; from 10 to 20 s there is one, and a query a second waits for longer.
        load = ConstantLoad(2_000, rate_qps=99)
        straggler = Resize([[10, -1], [15, 1]])
        for policy in (NoRedundancy, Oracle):
            result = simulate([policy], load, straggler=straggler, instances=2, k=2, show_progress=False)
            queries = result.queries
            before, after = queries[queries["scheduled_s"] < 9.9], queries[queries["scheduled_s"].between(10, 14.9)]
            assert before["latency_ms"].max() < 21
            if policy is NoRedundancy:
                assert after["latency_ms"].max() > 2_000
            assert len(queries) == 2_000

    def test_a_kill_within_an_absence_does_not_end_it(self) -> None:
        load = ConstantLoad(500, rate_qps=10)
        stragglers = {"resize": Resize([[1, -1], [40, 1]]), "crash": Crash(interval_s=0.5)}
        result = simulate([NoRedundancy], load, straggler=stragglers, instances=2, show_progress=False)
        tasks = result.tasks[(result.tasks["placed_s"] > 1) & (result.tasks["placed_s"] < 40)]
        assert len(tasks["instance"].unique()) == 1


VM_NOISE = """\
value,runtime,starttime,VM_id
10,60,2024-03-01 00:00:00,vm-a
20,60,2024-03-01 01:00:00,vm-a
40,60,2024-03-01 02:00:00,vm-a
10,60,2024-03-01 00:30:00,vm-b
10,600,2024-03-01 02:00:00,vm-b
"""


class TestMachineTrace:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "noise.csv"
        path.write_text(VM_NOISE)
        return path

    def test_instances_are_as_slow_as_their_machines_were(self, path: Path) -> None:
        rows = trace(MachineTrace(path), instances=2, duration_s=7200)
        by_instance = [[(row.start_s, row.end_s, row.factor) for row in rows if row.instance == one] for one in (0, 1)]
        assert sorted(by_instance, key=len) == [
            [(1800, 7200, 1.0), (7200, 7800, 1.0)][:1],
            [(0, 3600, 1.0), (3600, 7200, 2.0)],
        ]
        assert {row.kind for row in rows} == {SLOW}

    def test_larger_values_may_be_faster_machines(self, path: Path) -> None:
        rows = trace(MachineTrace(path, larger_is="faster"), instances=2, duration_s=7201)
        assert {row.factor for row in rows} == {1.0, 0.5, 0.25}

    def test_the_run_passes_through_it_faster_and_again(self, path: Path) -> None:
        rows = trace(MachineTrace(path, speed=3600, until_s=7200), instances=2, duration_s=6)
        slow = [(row.start_s, row.end_s) for row in rows if row.factor == 2.0]
        assert slow == [(1, 2), (3, 4), (5, 6)]

    def test_windows(self, path: Path) -> None:
        rows = trace(MachineTrace(path, from_s=3000, until_s=7200), instances=2, duration_s=4200)
        assert min(row.start_s for row in rows) == 0 and max(row.end_s for row in rows) == 4200
        with pytest.raises(SettingError, match="no measurements; those of the file are from 0 to 7800 s"):
            MachineTrace(path, from_s=9000)

    def test_what_is_too_short_or_too_few_is_refused_if_it_is_not_to_be_used_again(self, path: Path) -> None:
        with pytest.raises(SettingError, match="lasts 7800 s of the run, and the run may last 1e\\+04 s"):
            trace(MachineTrace(path, wraps=False), instances=2, duration_s=10_000)
        with pytest.raises(NotThereError, match="2 machines, expected 3"):
            trace(MachineTrace(path, wraps=False), instances=3, duration_s=10)
        assert len({row.instance for row in trace(MachineTrace(path), instances=5, duration_s=7000)}) == 5

    def test_a_larger_cluster_keeps_the_machines_of_a_smaller_one(self, path: Path) -> None:
        small, large = (trace(MachineTrace(path), instances=size, duration_s=7000) for size in (2, 4))
        assert [row for row in large if row.instance < 2] == small

    def test_it_goes_to_other_processes(self, path: Path) -> None:
        straggler = MachineTrace(path)
        assert trace(pickle.loads(pickle.dumps(straggler))) == trace(straggler)

    def test_seconds_are_times_too(self, tmp_path: Path) -> None:
        (tmp_path / "noise.csv").write_text("VM_id,starttime,runtime,value\n7,1000.5,2,3\n7,1010.5,2,6\n")
        rows = trace(MachineTrace(tmp_path / "noise.csv"), instances=1, duration_s=12)
        assert [(row.start_s, row.end_s, row.factor) for row in rows] == [
            (0, 10, pytest.approx(2 / 3)),
            (10, 12, pytest.approx(4 / 3)),
        ]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("value,runtime,VM_id\n1,2,3\n", ["row 1", "column starttime is missing"]),
            (VM_NOISE + "0,1,2024-03-01 00:00:00,vm-c\n", ["row 7", "value", "above 0"]),
            (VM_NOISE + "1,x,2024-03-01 00:00:00,vm-c\n", ["row 7", "runtime", "x"]),
            (VM_NOISE + "1,1,noon,vm-c\n", ["row 7", "starttime", "noon", "date-time"]),
            (VM_NOISE + "1,1,nan,vm-c\n", ["row 7", "starttime", "nan"]),
            (VM_NOISE + "1,1,2024-03-01 00:00:00,\n", ["row 7", "VM_id", "an empty cell"]),
            ("value,runtime,starttime,VM_id\n", ["no measurements"]),
        ],
    )
    def test_what_is_wrong_in_a_file_is_named(self, tmp_path: Path, text: str, words: list[str]) -> None:
        path = tmp_path / "wrong.csv"
        path.write_text(text)
        with pytest.raises(UserError) as refused:
            MachineTrace(path)
        assert all(word in str(refused.value) for word in words) and "\n" not in str(refused.value)
