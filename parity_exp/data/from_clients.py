"""Pictures and texts that clients of a served model send: read with more care than a user's own files."""

from collections.abc import Callable
from functools import partial
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from parity_exp.data.pictures import read_image
from parity_exp.data.preparation import Preparation
from parity_exp.data.text_files import plain_text
from parity_exp.errors import DataError

FORMATS = ("PNG", "JPEG")
"""Of pictures from clients: what is no file of the user's own is given to as few decoders as possible."""

MOST_PIXELS = 2**25
"""Of a client's picture: a small file may hold a huge one, and each pixel takes memory."""


def picture_sent(content: bytes) -> Image.Image:
    """A client's picture in three colours of 8 bits.

    Raises:
        DataError: it is none, or too large.
    """
    return read_image(BytesIO(content), FORMATS, MOST_PIXELS)


def text_sent(content: bytes) -> str:
    """A client's text.

    Raises:
        DataError: it is none in UTF-8, empty, or binary.
    """
    try:
        return plain_text(content.decode())
    except UnicodeDecodeError:
        raise DataError("is no text in UTF-8") from None


Resized = Callable[[Tensor], Tensor]


def pictures_of(shape: tuple[int, int, int], resized: Resized | None = None) -> Preparation:
    """The preparation of a data set whose pictures are kept as they are, in [0, 1].

    Args:
        shape: of inputs, ``(C, H, W)``; where there is one channel, colours become grey.
        resized: brings inputs of any size, ``(1, C, h, w)``, to the data set's; None: bilinear, if that is another one.
    """
    return Preparation("image", partial(_picture, shape, resized))


def _picture(shape: tuple[int, int, int], resized: Resized | None, content: bytes) -> Tensor:
    channels, *size = shape
    image = picture_sent(content).convert("L" if channels == 1 else "RGB")
    values = torch.from_numpy(np.array(image)).float().div_(255)
    whole = (values.unsqueeze(0) if channels == 1 else values.permute(2, 0, 1)).unsqueeze(0).contiguous()
    if resized is not None:
        return resized(whole)[0]
    if list(whole.shape[2:]) == size:
        return whole[0]
    return F.interpolate(whole, size=size, mode="bilinear", antialias=True)[0]
