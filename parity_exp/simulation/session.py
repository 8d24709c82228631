"""Serve in simulated time from a program: the same policies, loads and stragglers as real serving, without models."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pandas as pd

from parity_exp.checks import check_setting
from parity_exp.disturbances import Distribution
from parity_exp.files.writing import write_text
from parity_exp.load import Load
from parity_exp.policies.queues import SingleQueue
from parity_exp.process import interrupts
from parity_exp.process.interrupts import ctrl_c_waits
from parity_exp.process.parallel import Interrupted, Tell, in_parallel
from parity_exp.process.progress import progress
from parity_exp.ranges import Count, Delay, Frontends, Positive, Prefetch, Text
from parity_exp.recordings.metric_keys import SIMULATED, metrics_by_policy
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.recordings.writer import write_recordings
from parity_exp.scenario.folder import finished, looks_of, prepared, trace_table, write_draw
from parity_exp.scenario.given import (
    GivenNeeds,
    GivenPolicies,
    GivenStragglers,
    policies_by_name,
    stragglers_by_name,
)
from parity_exp.scenario.result import Recorded, ServingResult
from parity_exp.scenario.scenario import Draw, FrontendSplit, MakeQueues
from parity_exp.simulation.confidence import over_seeds
from parity_exp.simulation.measured_times import MeasuredTimes, measured_times
from parity_exp.simulation.outcome import Outcome
from parity_exp.simulation.paired import Tail, paired, tail_of
from parity_exp.simulation.simulation import Simulation
from parity_exp.simulation.times import Times
from parity_exp.words import QUERY, counted

Bars = Callable[[str], AbstractContextManager[Tell]]
"""Makes the context of a policy's progress, which is told how many queries have been answered."""


def simulate(
    policies: GivenPolicies,
    load: Load,
    *,
    straggler: GivenStragglers = None,
    instances: int = 4,
    k: int = 2,
    r: int = 1,
    code: GivenNeeds = None,
    accuracy: Sequence[float] | None = None,
    service_time_ms: Positive | None = None,
    service_time: Distribution | None = None,
    backup_ratio: Positive = 1.0,
    multiplexed_ratio: Positive = 1.0,
    network_ms: Delay | None = None,
    network: Distribution | None = None,
    restart_ms: Delay = 50.0,
    restart: Distribution | None = None,
    measured: MeasuredTimes | str | Path | None = None,
    batch_size: int = 1,
    batch_window_ms: float = 2.0,
    prefetch: Prefetch = 1,
    interrupt_ms: Delay | None = None,
    queue: MakeQueues = SingleQueue,
    frontends: Frontends = 1,
    frontend_split: FrontendSplit = "random",
    seed: int = 0,
    seeds: Count = 1,
    processes: Count | None = None,
    ray: Text | None = None,
    folder: str | Path | None = None,
    show_progress: bool = True,
    dry_run: bool = False,
    earlier: Mapping[str, float] | None = None,
) -> ServingResult:
    """Simulate a load under one redundancy policy after the other, on as many instances as you like.

    Every policy meets the same arrivals, and with as many instances the same stragglers::

        from parity_exp import simulate
        from parity_exp.load import Poisson
        from parity_exp.policies import EqualResources, Parity

        result = simulate([EqualResources, Parity], Poisson(10_000, utilisation=0.6), instances=12)
        print(result.table)

    Args:
        policies: one, several, or several by name; objects at the beginning of a run, or classes that are made with
            ``k`` and ``r``.
        load: how many queries come, and when.
        straggler: what slows or stops instances: one model, several, or several by name; None: nothing does.
        instances: m, base instances; a policy says what comes on top.
        k: queries in a coding group, for policies that are given as classes.
        r: parity queries of a group, likewise.
        code: says from how many predictions and parity outputs lost ones come back, for policies that decode: a code or
            decoder with parity models, such as ``trained.code``, or
            :class:`Needs(k, members) <parity_exp.policies.needs.Needs>`; a mapping gives some policies codes of their
            own. None: a parity output brings back one prediction, as of a sum.
        accuracy: available and degraded accuracy of the code: how often the base model's own predictions are right, and
            reconstructed ones. With it every policy has its overall accuracy, ``simulate/<policy>/overall_accuracy``.
        service_time_ms: mean time that a task takes, whatever its batch; None: 20, or as ``measured``.
        service_time: a distribution whose shape the times have; None: all are the same.
        backup_ratio: service time of the small model of an approximate backup over the base model's.
        multiplexed_ratio: that of one that runs k queries in a task, for all k together.
        network_ms: mean time of a message to an instance or back; None: none, or as ``measured``.
        network: the shape of that; None: always the same.
        restart_ms: mean time until a killed instance is back.
        restart: the shape of that; None: always the same.
        measured: times of a run that was served, or its run directory, instead of ``service_time``.
        batch_size: queries in a batch at most.
        batch_window_ms: a batch that is not full is sent this long after its first query.
        prefetch: tasks that an instance may hold at a time, the one it works at included.
        queue: makes the queues of instances, such as :class:`~parity_exp.policies.queues.SingleQueue`, or
            ``functools.partial(PowerOfD, d=3)``.
        frontends: how many there are, each with a policy and queues of its own; they meet in the instances.
        frontend_split: how queries come to them: ``random``, or ``round_robin``, in turn.
        interrupt_ms: instances stop at what nobody needs any more, and are free so long after it has become so; None:
            they cannot, and only what is queued is cancelled.
        seed: what all random numbers follow from.
        seeds: simulations that differ by their seed alone, from ``seed`` on; of several there are means and intervals.
        processes: that simulate the seeds; None: one for each core.
        ray: a Ray cluster that simulates them instead: ``auto``, ``local``, or ``host:port``. Without effect for one
            seed.
        folder: where to write the files of a run directory; None: nothing is written.
        show_progress: show a bar for each policy.
        dry_run: refuse what cannot be, and go no further; the result is empty.
        earlier: metrics of what was done in the folder before, which its ``metrics.json`` keeps.

    Returns:
        The result; its metrics' keys begin with ``simulate/``.

    Raises:
        SettingError: a :class:`ValueError`: an argument that cannot be, in one line.
        UserError: a file or run directory that is missing or wrong.
    """
    check_setting("seeds", seeds, Count)
    check_setting("processes", processes, Count | None)
    check_setting("ray", ray, Text | None)
    times = Times.of(
        service_time_ms=service_time_ms,
        service_time=service_time,
        backup_ratio=backup_ratio,
        multiplexed_ratio=multiplexed_ratio,
        network_ms=network_ms,
        network=network,
        restart_ms=restart_ms,
        restart=restart,
        measured=measured_times(measured) if isinstance(measured, str | Path) else measured,
    )
    made = Simulation(
        policies_by_name(policies, k, r),
        load,
        stragglers_by_name(straggler),
        instances,
        batch_size,
        batch_window_ms,
        queue,
        seed,
        times=times,
        prefetch=prefetch,
        code=code,
        accuracy=accuracy,
        frontends=frontends,
        frontend_split=frontend_split,
        interrupt_ms=interrupt_ms,
    )
    if dry_run:
        return ServingResult("", {})
    made.warn()
    path = prepared(folder, made, {"simulate": made.times.described()}, earlier)
    if seeds == 1:
        bars = partial(progress, total=load.total, shown=show_progress)
        one = simulate_seed(made, seed, path, bars)
        return finished(_result(made, one.metrics, one), path, earlier or {})
    by_seed = _simulate_seeds(
        made, range(seed, seed + seeds), processes or os.cpu_count() or 1, path, show_progress, ray
    )
    metrics = {number: of_seed.metrics for number, of_seed in by_seed.items()}
    means = over_seeds(list(metrics.values())) | {f"{SIMULATED}/seeds": len(by_seed)}
    pairs = paired({name: [one.tails[name] for one in by_seed.values()] for name in made.policies}, seed)
    if path is not None:
        write_text(RunDirectory(path).pairs, pairs.to_csv(index=False))
    return finished(replace(_result(made, means, by_seed[seed], metrics), pairs=pairs), path, earlier or {})


@dataclass(frozen=True)
class Seed:
    """What one seed came to.

    Attributes:
        metrics: by their keys.
        draw: what chance made.
        recorded: by policy.
        tails: by policy, of the latencies.
    """

    metrics: dict[str, float]
    draw: Draw | None = None
    recorded: Mapping[str, Recorded] | None = None
    tails: Mapping[str, Tail] = field(default_factory=dict)


def _result(
    made: Simulation,
    metrics: dict[str, float],
    first: Seed,
    by_seed: Mapping[int, Mapping[str, float]] | None = None,
) -> ServingResult:
    assert first.draw is not None and first.recorded is not None
    title = (
        f"{counted(made.load.queries, *QUERY)} at {metrics[f'{SIMULATED}/rate_qps']:.0f} q/s, "
        f"{metrics[f'{SIMULATED}/service_time_ms']:.1f} ms each, {counted(made.instances, 'base instance')}, simulated"
    )
    return ServingResult(
        title=title,
        metrics=metrics,
        recorded=first.recorded,
        sizes=made.sizes,
        looks=looks_of(made.made),
        slo_ms=made.load.slo_ms,
        trace=trace_table(first.draw.trace),
        arrivals_s=pd.Series(first.draw.arrivals_s, name="scheduled_s"),
        by_seed=by_seed or {},
    )


def simulate_seed(made: Simulation, seed: int, folder: Path | None, bars: Bars, keep: bool = True) -> Seed:
    """Simulate every policy for one seed.

    Args:
        made: how.
        seed: of all random numbers.
        folder: where recordings go, also those of an interrupted policy; None: nowhere.
        bars: tell of progress.
        keep: return recordings.
    """
    draw = made.scene(seed)
    if folder is not None:
        write_draw(folder, draw)
    metrics = {
        f"{SIMULATED}/service_time_ms": draw.service_s * 1e3,
        f"{SIMULATED}/rate_qps": draw.rate_qps,
        f"{SIMULATED}/utilisation": draw.rate_qps / draw.capacity_qps,
    }
    kept: dict[str, Recorded] = {}
    tails: dict[str, Tail] = {}
    for name in made.policies:
        interrupts.check()
        outcome = Outcome(made.load.total)
        try:
            with bars(name) as tell:
                made.simulate(name, draw, seed, outcome, tell)
        finally:
            with ctrl_c_waits():
                recorded = Recorded(outcome.queries(made.load.warmup), outcome.tasks()) if keep else None
                if folder is not None and recorded is not None and outcome.now_s:
                    write_recordings(folder, name, recorded.queries, recorded.tasks)
        metrics |= made.metrics(name, outcome)
        tails[name] = tail_of(outcome.latency_ms[made.load.warmup :])
        if recorded is not None:
            kept[name] = recorded
    return Seed(metrics, draw, kept, tails) if keep else Seed(metrics, tails=tails)


def _simulate_seeds(
    made: Simulation, seeds: range, processes: int, folder: Path | None, show_progress: bool, ray: str | None
) -> dict[int, Seed]:
    """Simulate each seed, several in parallel processes; recordings are kept of the first.

    Raises:
        Interrupted: Ctrl-C; the metrics of seeds that were through are in the folder.
        UserError: a process was killed, as by a system that is short of memory.
    """
    here = folder if ray is None else None  # other machines do not have it
    jobs = {seed: (made, seed, here if seed == seeds[0] else None, seed == seeds[0]) for seed in seeds}
    total = len(seeds) * len(made.policies) * made.load.total
    try:
        by_seed: dict[int, Seed] = in_parallel(
            _simulate_one, jobs, processes, f"{len(seeds)} seeds", total, show_progress, ray
        )
    except Interrupted as interrupted:
        _write_seeds(folder, interrupted.done)
        raise
    _write_seeds(folder, by_seed)
    if folder is not None and here is None:
        _write_recorded(folder, by_seed[seeds[0]])
    return by_seed


def _write_recorded(folder: Path, seed: Seed) -> None:
    """What a seed would have written itself, had it had the folder."""
    assert seed.draw is not None and seed.recorded is not None
    write_draw(folder, seed.draw)
    for name, recorded in seed.recorded.items():
        write_recordings(folder, name, recorded.queries, recorded.tasks)


def _simulate_one(made: Simulation, seed: int, folder: Path | None, keep: bool, tell: Tell) -> Seed:
    """One seed in a process of its own."""
    before = 0

    @contextmanager
    def counted(_: str) -> Iterator[Tell]:
        nonlocal before
        yield lambda answered: tell(before + answered)
        before += made.load.total

    return simulate_seed(made, seed, folder, counted, keep)


def _write_seeds(folder: Path | None, by_seed: Mapping[int, Seed]) -> None:
    """A row a seed and policy."""
    rows = [
        {"seed": seed, "policy": policy, **values}
        for seed, one in by_seed.items()
        for policy, values in metrics_by_policy(one.metrics).items()
    ]
    if rows and folder is not None:
        write_text(RunDirectory(folder).seeds, pd.DataFrame(rows).to_csv(index=False))
