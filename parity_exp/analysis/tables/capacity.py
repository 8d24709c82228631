"""Tables and sentences of a capacity plan, from its ``plan.csv``: a row a policy and objective.

Columns: ``policy, percentile, slo_ms, slo_times_p50, rate_qps, busy_machines``; where the objective can be met
``base_instances, machines, percentile_ms, p50_ms, utilisation, busy, reconstructed``, elsewhere ``not_met`` says why
not.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from parity_exp.analysis.tables.numbers import number, percent
from parity_exp.words import counted


def machines_by_policy(plan: pd.DataFrame) -> pd.DataFrame:
    """``machines`` with a row an objective in ms, ascending, and a column a policy; NaN where it is not met."""
    whole = plan.assign(machines=plan.get("machines", float("nan")))
    table = whole.pivot(index="slo_ms", columns="policy", values="machines")
    return table[list(dict.fromkeys(plan["policy"]))].sort_index()


def capacity_table(plan: pd.DataFrame) -> pd.DataFrame:
    """What people read: a row a policy and objective, all cells text."""
    return pd.DataFrame([_row(row) for row in plan.to_dict("records")])


def _row(row: Mapping[Any, Any]) -> dict[str, str]:
    objective = {
        "policy": str(row["policy"]),
        "objective": f"{name_of(row)} ≤ {number(row['slo_ms'])} ms",
        "times p50": f"{row['slo_times_p50']:.3g}",
    }
    measured = ("machines", "base instances", "utilisation", "busy", "p50 ms", "reached ms", "reconstructed")
    machines = float(row.get("machines", float("nan")))
    if machines != machines:
        return objective | dict.fromkeys(measured, "-") | {"not met": str(row["not_met"])}
    cells = (
        f"{machines:,.0f}",
        f"{row['base_instances']:,.0f}",
        percent(row["utilisation"]),
        percent(row["busy"]),
        number(row["p50_ms"]),
        number(row["percentile_ms"]),
        percent(row["reconstructed"]),
    )
    return objective | dict(zip(measured, cells, strict=True)) | {"not met": ""}


def name_of(row: Mapping[Any, Any]) -> str:
    """``p99.9``."""
    return f"p{row['percentile']:g}"


def capacity_findings(plan: pd.DataFrame) -> list[str]:
    """A sentence an objective: who needs how many machines, cheapest first, and who cannot keep it."""
    name = name_of(plan.to_dict("records")[0])
    sentences = []
    for slo_ms, machines in machines_by_policy(plan).iterrows():
        met = [f"{policy} {counted(count, 'machine')}" for policy, count in machines.dropna().sort_values().items()]
        lacking = [str(policy) for policy in machines.index[machines.isna()]]
        parts = [", ".join(met)] if met else []
        parts += [f"cannot be kept by {', '.join(lacking)}"] if lacking else []
        sentences.append(f"{name} ≤ {number(float(str(slo_ms)))} ms: {'; '.join(parts)}.")
    return sentences
