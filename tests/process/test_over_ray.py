"""Jobs on a Ray cluster do what processes of this machine do."""

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from parity_exp import simulate
from parity_exp.errors import UserError
from parity_exp.load import Poisson
from parity_exp.policies import EqualResources
from parity_exp.policies.policy import Policy
from parity_exp.process.parallel import Interrupted, Tell, in_parallel

if TYPE_CHECKING:
    from pathlib import Path

    from ray.cluster_utils import Cluster


def squared(number: int, tell: Tell) -> int:
    tell(1)
    if number == 3:
        raise UserError("three cannot be")
    return number**2


class Mine(EqualResources):
    """A policy of somebody's script."""


@pytest.mark.slow
def test_results_are_those_of_processes(ray_cluster: "Cluster", tmp_path: "Path") -> None:
    pytest.importorskip("ray")
    policies: list[type[Policy]] = [EqualResources, Mine]
    load = Poisson(300, utilisation=0.5, warmup=20)
    folders = {name: tmp_path / name for name in ("ray", "here")}
    over_ray = simulate(policies, load, seeds=3, ray="auto", folder=folders["ray"], show_progress=False)
    here = simulate(policies, load, seeds=3, processes=1, folder=folders["here"], show_progress=False)
    assert over_ray.metrics == here.metrics
    names = {name: {path.name for path in folder.iterdir()} for name, folder in folders.items()}
    assert names["ray"] == names["here"]
    for table in ("seeds.csv", "pairs.csv", "arrivals.csv"):
        assert (folders["ray"] / table).read_text() == (folders["here"] / table).read_text()
    first, same = (pd.read_parquet(folder / "queries-mine.parquet") for folder in folders.values())
    pd.testing.assert_frame_equal(first, same)


@pytest.mark.slow
def test_errors_of_jobs_are_their_own(ray_cluster: "Cluster") -> None:
    assert in_parallel(squared, {"a": (1,), "b": (2,)}, 1, "squares", 2, False, "auto") == {"a": 1, "b": 4}
    with pytest.raises(UserError, match="three cannot be"):
        in_parallel(squared, {"a": (1,), "b": (3,)}, 1, "squares", 2, False, "auto")


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_through(ray_cluster: "Cluster", monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    wait, calls = ray.wait, []

    def wait_twice(*args: object, **kwargs: object) -> object:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return wait(*args, **{**kwargs, "timeout": 60})

    monkeypatch.setattr(ray, "wait", wait_twice)
    with pytest.raises(Interrupted) as caught:
        in_parallel(squared, {name: (name,) for name in range(4) if name != 3} | {5: (5,)}, 1, "s", 4, False, "auto")
    assert len(caught.value.done) == 2


def test_an_address_where_nothing_is_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UserError, match=r"simulate\.ray=127\.0\.0\.1:1: no Ray cluster answers there"):
        in_parallel(squared, {"a": (1,), "b": (2,)}, 1, "squares", 2, False, "127.0.0.1:1")
