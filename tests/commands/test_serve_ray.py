"""``pool=ray`` from the command line: a machine is lost under load, and Ray is not there at all."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parity_exp.serving.pools import ray as ray_pool
from parity_exp.serving.pools.ray import RayPool
from tests.conftest import SMALL_NODE, Run, Trained, metrics, run_dirs

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_node_is_lost_under_load_and_no_query_is(
    ray_cluster: "Cluster", run: Run, folder: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [ray_cluster.add_node(num_cpus=2, resources={"other": 1}, **SMALL_NODE) for _ in range(2)]
    moved: list[tuple[list[str | None], str]] = []

    def kill_its_node(pool: RayPool, instance: int) -> None:
        """In the place of a crash of one instance, the end of the machine of one that is not on the head."""
        alive = {node.node_id: node for node in others}
        node = next((node for node in pool.nodes if node in alive), None)
        if node is not None and not moved:
            ray_cluster.remove_node(alive[node], allow_graceful=False)
            moved.append((pool.nodes, node))

    close = RayPool.close

    def close_when_all_are_there(pool: RayPool) -> None:
        deadline_s = time.monotonic() + 60
        while moved and None in pool.nodes and time.monotonic() < deadline_s:
            pool.poll(0.1)
        ended.append(pool.nodes)
        close(pool)

    ended: list[list[str | None]] = []
    monkeypatch.setattr(RayPool, "kill", kill_its_node)
    monkeypatch.setattr(RayPool, "close", close_when_all_are_there)
    serving = ("redundancy=[parity]", "pool.instances=2", "pool.service_time_ms=10", "pool.hang_timeout_s=1.5")
    load = ("load.queries=450", "load.warmup=0", "load.rate_qps=70", "load.slo_ms=null")
    crash = ("straggler=crash", "straggler.crash.interval_s=1")
    try:
        assert run("serve", f"run={trained()}", "pool=ray", "tracker=none", *serving, *load, *crash) == 0
    finally:
        for node in others:
            if node in ray_cluster.worker_nodes:
                ray_cluster.remove_node(node)
    (run_dir,) = run_dirs(folder, "serve")
    values = metrics(run_dir)
    assert values["serve/parity/queries"] == 450
    assert values["serve/parity/lost"] == values["serve/parity/duplicates"] == 0
    assert values["serve/parity/fraction/default"] == values["serve/parity/fraction/error"] == 0
    ((before, lost),) = moved
    assert len(set(before)) == 3, "instances were not spread"
    assert lost in before and lost not in ended[-1] and None not in ended[-1]


def test_without_ray_one_line_says_what_to_install(
    run: Run, trained: Trained, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_pool, "INSTALLED", False)
    assert run("serve", f"run={trained()}", "pool=ray", "tracker=none") == 2
    assert capsys.readouterr().err == (
        "parity-exp serve: pool=ray: Ray is not installed; pip install 'parity_exp[ray]'\n"
    )
