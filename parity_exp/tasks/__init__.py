"""What a network is to do: the one place that knows what a prediction means.

A data set has a task; everything else asks the task: how many numbers a prediction has, what a base model minimises,
how good a prediction is, and what clients get when there is none.
"""

from parity_exp.tasks.classification import Classification
from parity_exp.tasks.embedding import Embedding
from parity_exp.tasks.localization import Localization
from parity_exp.tasks.task import Task

__all__ = ["Classification", "Embedding", "Localization", "Task"]
