"""What cannot be served is refused in one line that names it, before anything is trained, started or written."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.conftest import QUICK, Run, Trained

NO_SERVING_VALUE = [
    (["redundancy=nosuch"], ["redundancy/nosuch", "shared_parity"]),
    (["redundancy=[none,nosuch]"], ["redundancy/nosuch", "shared_parity"]),
    (["redundancy=[]"], ["redundancy", "list of policies"]),
    (["redundancy=null"], ["redundancy=null"]),
    (["redundancy=[hedged]", "redundancy.hedged.delay_ms=abc"], ["redundancy.hedged.delay_ms=abc", "number or null"]),
    (["redundancy=[hedged]", "redundancy.hedged.delay_ms=-1"], ["redundancy.hedged", "delay_ms=-1"]),
    (["redundancy=[hedged]", "redundancy.hedged.percentile=100"], ["redundancy.hedged", "percentile=100"]),
    (["redundancy=[hedged]", "redundancy.hedged.margin=nan"], ["redundancy.hedged.margin=nan"]),
    (["redundancy=[hedged]", "redundancy.hedged.copies=1.5"], ["redundancy.hedged.copies=1.5", "whole number"]),
    (["redundancy=[hedged]", "redundancy.hedged.urgent=maybe"], ["redundancy.hedged.urgent=maybe", "true or false"]),
    (["redundancy=[replication]", "redundancy.replication.factor=1"], ["redundancy.replication", "factor=1"]),
    (["redundancy=[replication]", "redundancy.replication.factor=2.5"], ["redundancy.replication.factor=2.5"]),
    (["redundancy=[shared_parity]", "redundancy.shared_parity.reserve=-1"], ["redundancy.shared_parity", "reserve=-1"]),
    (["redundancy=[shared_parity]", "redundancy.shared_parity.load_limit=x"], ["shared_parity.load_limit=x"]),
    (["redundancy=[approximate_backup]", "backup.checkpoint=nosuch.ckpt"], ["backup.checkpoint=nosuch.ckpt"]),
    (["redundancy=[approximate_backup]", "backup.batch_size=0"], ["backup.batch_size=0"]),
    (["redundancy=[approximate_backup]", "backup.optimizer.lr=abc"], ["backup.optimizer"]),
    (["straggler=[nosuch]"], ["straggler/nosuch", "shuffle"]),
    (["straggler=[shuffle]", "straggler.shuffle.transfers=0"], ["straggler.shuffle.transfers=0"]),
    (["straggler=[shuffle]", "straggler.shuffle.probability=2"], ["straggler.shuffle.probability=2"]),
    (["straggler=[shuffle]", "straggler.shuffle.high_mb=1"], ["straggler.shuffle.high_mb=1"]),
    (["straggler=[shuffle]", "pool.instances=1", "redundancy=[none]"], ["straggler.shuffle", "pool.instances"]),
    (["straggler=[slowdown]", "straggler.slowdown.distribution.mean=-2"], ["straggler.slowdown.distribution.mean=-2"]),
    (["straggler=[slowdown]", "straggler.slowdown.slot_ms=0"], ["straggler.slowdown.slot_ms=0"]),
    (["straggler=[degraded]", "straggler.degraded.instance=99"], ["straggler.degraded.instance=99", "instances"]),
    (["straggler=[contention]", "straggler.contention.duty=0"], ["straggler.contention.duty=0"]),
    (["straggler=[contention]", "straggler.contention.instances=[99]"], ["straggler.contention.instances=[99]"]),
    (["straggler=[multitenancy]", "straggler.multitenancy.process.width=0"], ["multitenancy.process.width=0"]),
    (["straggler=[crash]", "straggler.crash.interval_s=0"], ["straggler.crash.interval_s=0"]),
    (["straggler=[crash]", "straggler.crash.times_s=3"], ["straggler.crash.times_s=3", "list"]),
    (["straggler=[trace]"], ["straggler.trace.path=null"]),
    (["straggler=[trace]", "straggler.trace.path=nosuch.csv"], ["nosuch.csv"]),
    (["load.queries=0"], ["load.queries=0"]),
    (["load.warmup=-1"], ["load.warmup=-1"]),
    (["load.rate_qps=abc"], ["load.rate_qps=abc"]),
    (["load.utilisation=nan"], ["load.utilisation=nan"]),
    (["load.rate_qps=1", "load.utilisation=0.4"], ["load.rate_qps", "load.utilisation"]),
    (["load.slo_ms=0"], ["load.slo_ms=0"]),
    (["load.nosuch=3"], ["load.nosuch"]),
    (["load=bursts", "load.on_s=0"], ["load.on_s=0"]),
    (["load=bursts", "load.random_lengths=abc"], ["load.random_lengths=abc"]),
    (["load=closed", "load.clients=0"], ["load.clients=0"]),
    (["load=trace"], ["load.path=null"]),
    (["load=trace", "load.path=nosuch.csv"], ["nosuch.csv"]),
    (["pool.instances=0"], ["pool.instances=0"]),
    (["pool.batch_size=abc"], ["pool.batch_size=abc"]),
    (["pool.batch_window_ms=abc"], ["pool.batch_window_ms=abc"]),
    (["pool.batch_window_ms=-1"], ["pool.batch_window_ms=-1"]),
    (["pool.devices=cuda:99"], ["pool.devices", "cuda:99"]),
    (["pool.devices=[]"], ["pool.devices"]),
    (["pool.devices=null"], ["pool.devices"]),
    (["pool.pin_cores=abc"], ["pool.pin_cores=abc"]),
    (["pool.prefetch=0"], ["pool.prefetch=0"]),
    (["pool.service_time_ms=inf"], ["pool.service_time_ms=inf"]),
    (["pool.hang_timeout_s=0"], ["pool.hang_timeout_s=0"]),
    (["pool.max_failures=1.5"], ["pool.max_failures=1.5"]),
    (["queue=nosuch"], ["queue/nosuch", "round_robin"]),
    (["queue._target_=builtins.int"], ["queue", "builtins.int", "Queues"]),
    (["pool._target_=builtins.dict"], ["pool", "parity_exp.serving.pool.Pool"]),
    (["seed=-1"], ["seed=-1"]),
]  # fmt: skip

LATE = (
    "redundancy.hedged.delay_ms=abc", "backup.checkpoint=nosuch.ckpt", "straggler.degraded.instance=99", "nosuch.csv",
    "pool.devices", "pool.batch_window_ms=abc", "load.utilisation=nan",
)  # fmt: skip
"""What would show only when serving begins if nobody looked before."""


def refuse(run: Run, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command is refused with."""
    capfd.readouterr()  # what training the run has shown
    assert run(*arguments) == 2
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err + captured.out
    (line,) = captured.err.strip().splitlines()
    assert not Path("outputs").exists()
    return line


@pytest.mark.parametrize(("arguments", "words"), NO_SERVING_VALUE)
def test_a_wrong_value_is_named_before_anything_is_written(
    run: Run, capfd: pytest.CaptureFixture[str], trained: Trained, arguments: list[str], words: list[str]
) -> None:
    line = refuse(run, capfd, "serve", f"run={trained()}", "tracker=none", *arguments)
    assert all(word in line for word in words)


@pytest.mark.parametrize(("arguments", "words"), [case for case in NO_SERVING_VALUE if case[1][0] in LATE])
def test_it_is_named_before_anything_is_trained(
    run: Run, capfd: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    line = refuse(run, capfd, "run", *QUICK, "tracker=none", *arguments)
    assert all(word in line for word in words)


@pytest.mark.parametrize("change", ["k=3", "r=2", "encoder=concat", "architecture=lenet", "base.checkpoint=other.pt"])
def test_what_was_trained_stays_as_it_was(
    run: Run, capfd: pytest.CaptureFixture[str], trained: Trained, change: str
) -> None:
    line = refuse(run, capfd, "serve", f"run={trained()}", "tracker=none", change)
    assert change in line and "run=" in line and "redundancy" in line


def test_a_value_inside_a_choice_that_the_run_has_not_is_refused(
    run: Run, capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    config = OmegaConf.load(copied / "config.yaml")
    del config.redundancy.hedged
    OmegaConf.save(config, copied / "config.yaml")
    line = refuse(run, capfd, "serve", f"run={copied}", "redundancy.hedged.delay_ms=3")
    assert "redundancy.hedged" in line and "redundancy=" in line


@pytest.mark.parametrize("given", [[], ["run=null"], ["run=nosuch"], ["run=."]])
def test_serve_needs_a_run(run: Run, capfd: pytest.CaptureFixture[str], given: list[str]) -> None:
    assert "run" in refuse(run, capfd, "serve", *given)


def test_a_damaged_or_incomplete_run_is_refused(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    parity, base, config = copied / "checkpoints" / "parity-0.ckpt", copied / "checkpoints" / "base.ckpt", "config.yaml"
    whole = parity.read_bytes()
    for path, content in (
        (parity, None),
        (parity, whole[: len(whole) // 2]),
        (parity, b""),
        (base, None),
        (copied / config, b"k: [2"),
        (copied / config, b""),
        (copied / config, None),
    ):
        before = path.read_bytes()
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        line = refuse(run, capfd, "serve", f"run={copied}", "tracker=none")
        assert str(path if content is not None or path.name != config else copied) in line
        path.write_bytes(before)
