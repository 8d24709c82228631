"""Data sets as tensors in memory, coding groups, and the LightningDataModules that yield them."""

from parity_exp.data.augmentation import Augmentation, CropAndFlip
from parity_exp.data.dataset import Dataset, Samples, Splits
from parity_exp.data.digits import Digits
from parity_exp.data.groups import Batches, coding_groups, covering_groups
from parity_exp.data.modules import BaseDataModule, GroupBatch, GroupDataModule, LabelledBatch
from parity_exp.data.torchvision_datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "Augmentation",
    "BaseDataModule",
    "Batches",
    "CropAndFlip",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "GroupBatch",
    "GroupDataModule",
    "LabelledBatch",
    "Samples",
    "Splits",
    "coding_groups",
    "covering_groups",
]
