"""torchvision's classification networks, fitted to a data set's images and classes.

No weights are fetched: networks start from random ones, or from a checkpoint that the user names.
"""

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
import torchvision
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torchvision.models import resnet

from parity_exp.ranges import Text

SMALL_IMAGE = 64
"""Images with a side below this get a stem that does not shrink them."""

IMAGENET_SIDE = 224
"""Side of the images that all of torchvision's classification networks take."""


class ResNet(nn.Module):
    """A torchvision ResNet, with the 3x3 stem and no first pooling for images of 28x28 or 32x32.

    ParM's ResNet-18 and ResNet-152 for Fashion-MNIST and CIFAR.

    Args:
        input_shape: ``(C, H, W)``.
        outputs: numbers in one prediction.
        depth: 18, 34, 50, 101 or 152.
        width: channels of the first of its four stages; each further stage has twice as many. Of depth 50 and more
            these are the channels within blocks, and four times as many between them. 64 is torchvision's network.

    Shapes: ``(B, C, H, W) -> (B, outputs)``.
    """

    convolutional = True
    sees_places = True
    widths = ("width",)

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        depth: Literal[18, 34, 50, 101, 152] = 18,
        width: Annotated[int, Ge(1), Le(1024)] = 64,
    ) -> None:
        super().__init__()
        self.network = _resnet(depth, width, outputs)
        channels, height, image_width = input_shape
        if min(height, image_width) < SMALL_IMAGE:
            self.network.conv1 = nn.Conv2d(channels, width, 3, stride=1, padding=1, bias=False)
            self.network.maxpool = nn.Identity()
        else:
            _fit_first_layer(self.network, channels)

    def forward(self, queries: Tensor) -> Tensor:
        outputs: Tensor = self.network(queries)
        return outputs


class MobileNetV2(nn.Module):
    """MobileNetV2 of a given width; ParM's approximate backup has width 0.25.

    Args:
        input_shape: ``(C, H, W)``; images below 64x64 are not shrunk by the first layer.
        outputs: numbers in one prediction.
        width: factor of the number of channels.

    Shapes: ``(B, C, H, W) -> (B, outputs)``.
    """

    convolutional = True
    sees_places = True
    widths = ("width",)

    def __init__(self, input_shape: Sequence[int], outputs: int, width: Annotated[float, Gt(0), Le(16)] = 1.0) -> None:
        super().__init__()
        self.network = _build("mobilenet_v2", num_classes=outputs, width_mult=width)
        channels, height, image_width = input_shape
        _fit_first_layer(self.network, channels)
        if min(height, image_width) < SMALL_IMAGE:
            _first_convolution(self.network)[2].stride = (1, 1)

    def forward(self, queries: Tensor) -> Tensor:
        outputs: Tensor = self.network(queries)
        return outputs


class TorchvisionNetwork(nn.Module):
    """Any of torchvision's classification networks, by name.

    Networks that cannot take the data set's images, as a vision transformer of one fixed size or AlexNet on 28x28,
    get them enlarged to 224x224.

    Args:
        input_shape: ``(C, H, W)``; the first convolution is replaced where its channels differ.
        outputs: numbers in one prediction; the head is built with it.
        name: a name that ``torchvision.models.list_models()`` gives.
        options: further arguments of torchvision's builder, such as ``image_size`` of a vision transformer.

    Shapes: ``(B, C, H, W) -> (B, outputs)``.

    Attributes:
        enlarges: whether the network gets images enlarged.
        seen_size: height and width of an image as the network gets it.

    Raises:
        ValueError: an unknown name, with the nearest known ones.
    """

    convolutional = True
    sees_places = True

    def __init__(self, input_shape: Sequence[int], outputs: int, name: Text, **options: Any) -> None:
        super().__init__()
        known = torchvision.models.list_models(module=torchvision.models)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or known[:3]
            raise ValueError(f"torchvision has no classification network {name!r}; did you mean {', '.join(near)}?")
        if name in ("googlenet", "inception_v3"):
            # Their second and third heads exist in training only, and would change the type of the output.
            options = {"aux_logits": False, "init_weights": True, **options}
        self.network = _build(name, num_classes=outputs, **options)
        _fit_first_layer(self.network, input_shape[0])
        self.enlarges = not _takes(self.network, input_shape)
        self.seen_size = (IMAGENET_SIDE, IMAGENET_SIDE) if self.enlarges else (input_shape[1], input_shape[2])

    def forward(self, queries: Tensor) -> Tensor:
        if self.enlarges:
            queries = F.interpolate(queries, size=(IMAGENET_SIDE, IMAGENET_SIDE), mode="bilinear")
        outputs: Tensor = self.network(queries)
        return outputs


@torch.no_grad()
def _takes(network: nn.Module, shape: Sequence[int]) -> bool:
    """Whether a network can take images of a shape ``(C, H, W)``."""
    mode = network.training
    try:
        network.eval()(torch.zeros(1, *shape))
    except (RuntimeError, ValueError, AssertionError):
        return False
    finally:
        network.train(mode)
    return True


def _build(name: Text, **options: Any) -> nn.Module:
    network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return network


BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks of a ResNet's four stages, by depth."""


def _resnet(depth: int, width: int, outputs: int) -> nn.Module:
    """torchvision's ResNet, of which every layer has ``width`` channels for each 64 that it usually has.

    torchvision has a setting for what is within bottlenecks only.
    """
    if width == 64:
        return _build(f"resnet{depth}", num_classes=outputs)
    block = resnet.BasicBlock if depth < 50 else resnet.Bottleneck
    network = resnet.ResNet(block, [1, 1, 1, 1], num_classes=outputs)
    network.inplanes = width
    network.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(width)
    for stage, blocks in enumerate(BLOCKS[depth]):
        channels, stride = width * 2**stage, 1 if stage == 0 else 2
        setattr(network, f"layer{stage + 1}", network._make_layer(block, channels, blocks, stride=stride))
    network.fc = nn.Linear(8 * width * block.expansion, outputs)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _first_convolution(network: nn.Module) -> tuple[nn.Module, str, nn.Conv2d]:
    """The first convolution, with the module that holds it and its name there."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            parent, _, name = path.rpartition(".")
            return network.get_submodule(parent), name, module
    raise ValueError(f"{type(network).__name__} has no convolution to fit to the images")


def _fit_first_layer(network: nn.Module, channels: int) -> None:
    parent, name, convolution = _first_convolution(network)
    if convolution.in_channels == channels:
        return
    fitted = nn.Conv2d(
        channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        convolution.padding,  # type: ignore[arg-type]
        convolution.dilation,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )
    setattr(parent, name, fitted)
