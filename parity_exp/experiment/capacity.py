"""``simulate`` with objectives: the fewest machines that each policy needs, as tables, figures and a report."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from parity_exp.analysis.figures.capacity import capacity_figures
from parity_exp.analysis.figures.files import save
from parity_exp.analysis.pages.run import write_report
from parity_exp.analysis.tables.capacity import capacity_findings, capacity_table
from parity_exp.analysis.tables.terminal import show
from parity_exp.experiment.job import tracked
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.planning import Found, Plan, search_sizes
from parity_exp.files.writing import write_text
from parity_exp.process.interrupts import ctrl_c_waits
from parity_exp.process.parallel import Interrupted, in_parallel
from parity_exp.process.side_channels import beside
from parity_exp.recordings.looks import read_looks, write_looks
from parity_exp.recordings.run_directory import RunDirectory

PREFIX = "plan"


def run_plan(config: DictConfig) -> float:
    """Plan for every policy; return the last one's machines for the first objective, for sweepers to minimise.

    Args:
        config: the resolved config.
    """
    plan = Plan(config)
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    jobs = {policy: (OmegaConf.to_container(config), policy) for policy in plan.policies}
    claim("simulate", config, directory, {})
    with tracked("simulate", config, directory) as tracker:
        write_looks(directory.path, {name: plan.simulation.policy(name) for name in plan.policies})
        try:
            found: dict[str, Found] = in_parallel(search_sizes, jobs, plan.simulation.processes, "sizes", None)
        except Interrupted as interrupted:
            with ctrl_c_waits():
                _write(plan, interrupted.done, directory)
            raise
        answers, sizes = _write(plan, found, directory)
        metrics = _metrics(plan, answers, sizes)
        directory.write_metrics(metrics)
        tracker.results(metrics, {"plan": answers})
        with beside("figures"):
            tracker.figures(save(capacity_figures(answers, sizes, read_looks(directory.path)), directory.figures))
        with beside("report"):
            write_report(directory.path)
        show(
            f"{plan.percentile_name} at {plan.rate_qps:,.0f} q/s, {plan.service_s * 1e3:.3g} ms each, simulated",
            capacity_table(answers),
        )
        for sentence in capacity_findings(answers):
            print(sentence)
        print(f"run directory: {directory.path}")
    return metrics.get(f"{PREFIX}/{plan.policies[-1]}/machines", math.inf)


def _write(plan: Plan, found: Mapping[str, Found], directory: RunDirectory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write ``plan.csv``, a row a policy and objective, and ``plan-sizes.csv``, a row a size that was simulated."""
    rows = [_answer(plan, policy, found[policy], slo) for policy in plan.policies if policy in found
            for slo in sorted(found[policy].fewest)]  # fmt: skip
    answers = pd.DataFrame(rows)
    sizes = pd.DataFrame(
        [
            {"policy": policy, **asdict(size)}
            for policy in plan.policies
            if policy in found
            for size in sorted(found[policy].sizes, key=lambda size: size.machines)
        ]
    )
    for path, table in ((directory.plan, answers), (directory.plan_sizes, sizes)):
        if not table.empty:
            write_text(path, table.to_csv(index=False))
    return answers, sizes


def _answer(plan: Plan, policy: str, found: Found, slo_ms: float) -> dict[str, Any]:
    size = found.fewest[slo_ms]
    row = {
        "policy": policy,
        "percentile": plan.percent,
        "slo_ms": slo_ms,
        "slo_times_p50": slo_ms / plan.p50_ms,
        "rate_qps": plan.rate_qps,
        "busy_machines": plan.busy_instances,
    }
    if size is None:
        return row | {"not_met": found.why[slo_ms]}
    values = asdict(size)
    del values["settled"]
    return row | values | {"not_met": None}


def _metrics(plan: Plan, answers: pd.DataFrame, sizes: pd.DataFrame) -> dict[str, float]:
    """``plan/<policy>/machines`` for the first objective, and the same for each below the objective's name."""
    metrics: dict[str, float] = {
        f"{PREFIX}/rate_qps": plan.rate_qps,
        f"{PREFIX}/service_time_ms": plan.service_s * 1e3,
        f"{PREFIX}/p50_ms": plan.p50_ms,
        f"{PREFIX}/percentile": plan.percent,
        f"{PREFIX}/simulations": len(sizes) * len(plan.seeds),
    }
    for row in answers.to_dict("records"):
        if row.get("machines", math.nan) != row.get("machines", math.nan):
            continue  # not met
        for part in (
            ("", f"slo_{row['slo_ms']:g}_ms/") if row["slo_ms"] == plan.slos_ms[0] else (f"slo_{row['slo_ms']:g}_ms/",)
        ):
            for name in ("machines", "base_instances", "percentile_ms", "p50_ms"):
                metrics[f"{PREFIX}/{row['policy']}/{part}{name}"] = float(row[name])
    return metrics
