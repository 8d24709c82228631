"""Overall accuracy of a policy whose answers nobody has compared with labels, from the accuracies of a code."""

from collections.abc import Mapping

OVERALL = "overall_accuracy"
"""Key of a policy's metric, in simulations that know how accurate their code is."""


def overall_accuracy(shares: Mapping[str, float], available: float, degraded: float) -> float | None:
    """``A_o = (1 - f_u) A_a + f_u A_d`` (Parity Models, section 4.1), f_u being the share that was reconstructed.

    Queries that got the default or an error count as wrong.

    Args:
        shares: of the answers by their source, as metrics have them: ``fraction/own`` and so on.
        available: accuracy of the base model's own predictions.
        degraded: accuracy of reconstructed ones, against true labels.

    Returns:
        None where some answers are a small model's, of which nothing is known.
    """
    if shares.get("fraction/backup"):
        return None
    return shares.get("fraction/own", 0.0) * available + shares.get("fraction/reconstructed", 0.0) * degraded
