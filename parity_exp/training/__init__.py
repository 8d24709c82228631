"""Training and evaluation of base models and codes."""

from parity_exp.training.acceleration import Acceleration
from parity_exp.training.coded_batch import CodedBatch
from parity_exp.training.coded_model import CodedModel, predictions, usual_batch_groups
from parity_exp.training.costs import code_costs
from parity_exp.training.course import VALIDATED, Course, train_study
from parity_exp.training.evaluation import Evaluation, Evaluator, Examples, overall_quality
from parity_exp.training.fisher import diagonal_fisher, fisher_average
from parity_exp.training.fit import Fitted, fit
from parity_exp.training.labelled_model import LabelledModel
from parity_exp.training.machine import Machine
from parity_exp.training.measuring import Measured, Measuring, measure, validated_quality
from parity_exp.training.members_evaluation import MembersEvaluator
from parity_exp.training.modules import BaseModule, CodedModule, Optimisation, TrainedModule
from parity_exp.training.non_systematic_evaluation import NonSystematicEvaluator
from parity_exp.training.normal import normal_outputs
from parity_exp.training.objectives import (
    BestObjective,
    DecodedCrossEntropy,
    DecodedDivergence,
    DecodedKL,
    DecodedMSE,
    Objective,
    ParityMSE,
    WeightedSum,
)
from parity_exp.training.phases import Training, belongs, obtain_labelled
from parity_exp.training.schedules import best_cycle, constant, cosine, one_cycle
from parity_exp.training.settings_search import Found, least_missed, search_settings
from parity_exp.training.study import AveragedModels, Study, WholeCode
from parity_exp.training.trained_parts import TrainedParts

__all__ = [
    "VALIDATED",
    "Acceleration",
    "AveragedModels",
    "BaseModule",
    "BestObjective",
    "CodedBatch",
    "CodedModel",
    "CodedModule",
    "Course",
    "DecodedCrossEntropy",
    "DecodedDivergence",
    "DecodedKL",
    "DecodedMSE",
    "Evaluation",
    "Evaluator",
    "Examples",
    "Fitted",
    "Found",
    "LabelledModel",
    "Machine",
    "Measured",
    "Measuring",
    "MembersEvaluator",
    "NonSystematicEvaluator",
    "Objective",
    "Optimisation",
    "ParityMSE",
    "Study",
    "TrainedModule",
    "TrainedParts",
    "Training",
    "WeightedSum",
    "WholeCode",
    "belongs",
    "best_cycle",
    "code_costs",
    "constant",
    "cosine",
    "diagonal_fisher",
    "fisher_average",
    "fit",
    "least_missed",
    "measure",
    "normal_outputs",
    "obtain_labelled",
    "one_cycle",
    "overall_quality",
    "predictions",
    "search_settings",
    "train_study",
    "usual_batch_groups",
    "validated_quality",
]
