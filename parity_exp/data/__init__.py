"""Data sets as tensors in memory, coding groups, and the LightningDataModules that yield them."""

from parity_exp.data.augmentation import Augmentation, CropAndFlip, RandomResizedCropAndFlip
from parity_exp.data.cub_localization import CUBLocalization
from parity_exp.data.dataset import Dataset, Samples, Splits
from parity_exp.data.digit_boxes import DigitBoxes
from parity_exp.data.digits import Digits
from parity_exp.data.file_dataset import FileDataset, LabelledFile, Listing
from parity_exp.data.groups import Alike, Batches, coding_groups, covering_groups
from parity_exp.data.image_folders import CatVDog, ImageFolder
from parity_exp.data.modules import BaseDataModule, GroupBatch, GroupDataModule, LabelledBatch
from parity_exp.data.preparation import Preparation
from parity_exp.data.speech_commands import SpeechCommands
from parity_exp.data.tensors import StoredData, TensorData
from parity_exp.data.text_folder import TextFolder
from parity_exp.data.text_table import TextTable
from parity_exp.data.tokeniser import PADDING, Tokeniser
from parity_exp.data.torchvision_datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "PADDING",
    "Alike",
    "Augmentation",
    "BaseDataModule",
    "Batches",
    "CUBLocalization",
    "CatVDog",
    "CropAndFlip",
    "Dataset",
    "DigitBoxes",
    "Digits",
    "FashionMNIST",
    "FileDataset",
    "GroupBatch",
    "GroupDataModule",
    "ImageFolder",
    "LabelledBatch",
    "LabelledFile",
    "Listing",
    "Preparation",
    "RandomResizedCropAndFlip",
    "Samples",
    "SpeechCommands",
    "Splits",
    "StoredData",
    "TensorData",
    "TextFolder",
    "TextTable",
    "Tokeniser",
    "coding_groups",
    "covering_groups",
]
