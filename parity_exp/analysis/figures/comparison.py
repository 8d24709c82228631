"""Pictures that compare runs, from the tidy tables.

Every function returns a picture with the number of panels that found no place in it, or None where the runs do not
support one. Encoders and policies have one colour each in all pictures; panels hold what is comparable.
"""

import pandas as pd

from parity_exp.analysis.figures.codes_compared import degraded_by_k, overall_accuracy
from parity_exp.analysis.figures.colours import PLAIN, Palette
from parity_exp.analysis.figures.panels import Plate
from parity_exp.analysis.figures.policies_compared import (
    accuracy_against_latency,
    delivered_accuracy,
    gap_by_resources,
    latency_by_load,
)


def comparison_figures(measured: pd.DataFrame, serving: pd.DataFrame, palette: Palette = PLAIN) -> dict[str, Plate]:
    """Every picture that the runs support, by the name of its file.

    Args:
        measured: a row a measured code, see :func:`parity_exp.analysis.runs.tidy.measured_codes`.
        serving: a row a run and policy.
        palette: the colours of policies and encoders.
    """
    predicted = serving.dropna(subset="accuracy") if "accuracy" in serving else serving  # simulations have none
    plates = {
        "degraded_by_k": degraded_by_k(measured, palette),
        "overall_accuracy": overall_accuracy(measured, palette),
        "delivered_accuracy": delivered_accuracy(predicted, palette),
        "latency_by_utilisation": latency_by_load(serving, by_rate=False, palette=palette),
        "latency_by_rate": latency_by_load(serving, by_rate=True, palette=palette),
        "gap_by_instances": gap_by_resources(serving, "extra_instances", palette),
        "gap_by_tasks": gap_by_resources(serving, "tasks_per_query", palette),
        "accuracy_against_latency": accuracy_against_latency(predicted, palette),
    }
    return {name: plate for name, plate in plates.items() if plate is not None}
