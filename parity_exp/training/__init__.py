"""Training and evaluation of base models and codes."""

from parity_exp.training.acceleration import Acceleration
from parity_exp.training.coded_batch import CodedBatch
from parity_exp.training.costs import code_costs
from parity_exp.training.evaluation import Evaluation, Evaluator, Examples, overall_quality
from parity_exp.training.fit import Fitted, fit
from parity_exp.training.modules import BaseModule, CodedModule, Optimisation, TrainedModule
from parity_exp.training.non_systematic_evaluation import NonSystematicEvaluator
from parity_exp.training.objectives import (
    DecodedCrossEntropy,
    DecodedDivergence,
    DecodedKL,
    DecodedMSE,
    Objective,
    ParityMSE,
    WeightedSum,
)
from parity_exp.training.schedules import constant, cosine, one_cycle
from parity_exp.training.settings_search import Found, least_missed, search_settings

__all__ = [
    "Acceleration",
    "BaseModule",
    "CodedBatch",
    "CodedModule",
    "DecodedCrossEntropy",
    "DecodedDivergence",
    "DecodedKL",
    "DecodedMSE",
    "Evaluation",
    "Evaluator",
    "Examples",
    "Fitted",
    "Found",
    "NonSystematicEvaluator",
    "Objective",
    "Optimisation",
    "ParityMSE",
    "TrainedModule",
    "WeightedSum",
    "code_costs",
    "constant",
    "cosine",
    "fit",
    "least_missed",
    "one_cycle",
    "overall_quality",
    "search_settings",
]
