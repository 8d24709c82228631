"""Architectures for base and parity models, how they start, and their weights on disk.

Every architecture is a class that takes ``input_shape`` and ``outputs`` first; the shapes come from the data set.
"""

from parity_exp.models.bank import ModelBank, Scaled, tagged
from parity_exp.models.checkpoint import load_weights, origin_of, save_weights
from parity_exp.models.initialisation import Default, FromBase, Initialisation, Paper, Split
from parity_exp.models.lenet import LeNet
from parity_exp.models.mlp import MLP
from parity_exp.models.multiplexed import Multiplexed, multiplexing
from parity_exp.models.prediction import predict
from parity_exp.models.text_transformer import TextTransformer
from parity_exp.models.torchvision_networks import MobileNetV2, ResNet, TorchvisionNetwork
from parity_exp.models.transformers_encoder import TransformersEncoder
from parity_exp.models.vgg import VGG11
from parity_exp.models.vision_transformer import VisionTransformer

__all__ = [
    "MLP",
    "VGG11",
    "Default",
    "FromBase",
    "Initialisation",
    "LeNet",
    "MobileNetV2",
    "ModelBank",
    "Multiplexed",
    "Paper",
    "ResNet",
    "Scaled",
    "Split",
    "TextTransformer",
    "TorchvisionNetwork",
    "TransformersEncoder",
    "VisionTransformer",
    "load_weights",
    "multiplexing",
    "origin_of",
    "predict",
    "save_weights",
    "tagged",
]
