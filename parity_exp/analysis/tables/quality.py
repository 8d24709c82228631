"""Tables of how good a code is and of what it costs."""

import re
from collections.abc import Mapping

import pandas as pd

MEASURED = re.compile(
    r"((?:(?:multiplexed_)?backup/|answers_\d+/|losses_\d+/|first_answers/|wrong_\d+_sigma_[^/]+/)?(?:available|no_loss|degraded|reconstruction))_(.+)"
)
"""What was measured, and by which score: ``degraded_accuracy_top5``."""


PARTS = {
    "base": "base model",
    "parity": "parity model",
    "decoder": "decoder",
    "backup": "backup",
    "multiplexed_backup": "multiplexed backup, 1/k of a pass",
}
"""Parts of a code, and what stands in without one."""


def quality_table(metrics: Mapping[str, float]) -> pd.DataFrame:
    """A row for what was measured, a column a score, from metrics without their ``test/``; NaN where one lacks."""
    rows: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        measured = MEASURED.fullmatch(key)
        if measured:
            rows.setdefault(measured[1].replace("_", " "), {})[score_name(measured[2])] = value
    return pd.DataFrame([{"": name, **values} for name, values in rows.items()])


def part_costs(costs: Mapping[str, float]) -> pd.DataFrame:
    """A row a part of a code, from its costs without their ``cost/``; see :func:`parity_exp.training.code_costs`."""
    rows = []
    for part, what in PARTS.items():
        if f"{part}_parameters" in costs:
            parameters, operations = costs[f"{part}_parameters"], costs[f"{part}_flops"]
            rows.append({"part": what, "parameters": f"{parameters:,.0f}", "operations a query": f"{operations:,.0f}"})
    if "decode_us" in costs:
        rows.append({"part": "encode one parity query", "microseconds": f"{costs['encode_us']:.1f}"})
        rows.append({"part": "decode one prediction", "microseconds": f"{costs['decode_us']:.1f}"})
    return pd.DataFrame(rows).fillna("-")


def score_name(score: str) -> str:
    """A score as people read it: ``accuracy_top5`` as top-5, ``iou`` as IoU."""
    return score.replace("accuracy_top", "top-").replace("iou", "IoU").replace("_", " ")
