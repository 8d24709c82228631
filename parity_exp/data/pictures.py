"""One picture from a file of any kind, as 8-bit colours, without losing what it shows.

The rules, since a wrong conversion is silent and costs accuracy:

* 16 bits become 8 by dividing by 257, other depths likewise by their range; floats are in [0, 1].
* Where the range is not known (32-bit whole numbers, other floats), or is evidently another one, the file is refused.
* What is transparent is laid on white; on black, where nothing could be seen on white.
"""

from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from parity_exp.data.file_cache import Array
from parity_exp.errors import DataError
from parity_exp.files.whole_files import whole

BITS_TAG, INTERPRETATION_TAG = 258, 262
"""TIFF's bits in a sample, and what a sample of 0 means."""

WHITE_IS_ZERO = 0

OF_ONE_PICTURE = ("JPEG", "MPO", "PNG", "BMP", "PPM")
"""Formats whose first picture is the picture; what else is in a file is a preview, another view or an animation."""

LARGEST = 255

LOWER_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
"""Pillow's names for reading the upper 8 of 16 bits of a colour, and for reading the lower ones instead."""

VISIBLE = 16
"""Difference of a colour's values below which a picture shows nothing."""


Source = Path | IO[bytes]


def read_image(source: Source, formats: tuple[str, ...] | None = None, most_pixels: int | None = None) -> Image.Image:
    """A picture in three colours of 8 bits, whatever it is on disk.

    Args:
        source: its file, or what is in it.
        formats: it may have, by Pillow's names; None: all that Pillow knows.
        most_pixels: it may have; None: as many as Pillow takes.

    Raises:
        DataError: not a whole image, or one whose colours cannot be told, or too large.
    """
    with whole(lambda: _opened(source, formats), "image") as image:
        if most_pixels is not None and image.width * image.height > most_pixels:
            raise DataError(f"has {image.width}x{image.height} pixels; expected at most {most_pixels:,}")
        upper = any(part.args in LOWER_BYTES for part in image.tile)
        whole(image.load, "image")
        if upper:
            _check_lower_bytes(image, source)
        try:
            return _in_colours(image)
        except ValueError as error:  # Pillow's of modes that it has no way between
            raise DataError(f"cannot be brought to RGB ({error}); convert it") from None


def _opened(source: Source, formats: tuple[str, ...] | None = None) -> Image.Image:
    try:
        return Image.open(source, formats=formats)
    except Image.DecompressionBombError as error:
        raise DataError(f"is too large; make it smaller ({error})") from None


def _in_colours(image: Image.Image) -> Image.Image:
    if image.format not in OF_ONE_PICTURE and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"holds {getattr(image, 'n_frames', 1)} pictures; keep one of them")
    if image.mode == "F":
        return _grey(_from_floats(np.asarray(image)))
    if image.mode == "I" or image.mode.startswith("I;"):
        return _grey(_from_whole_numbers(image))
    if image.has_transparency_data:
        return _on_a_ground(image.convert("RGBA"))
    return image.convert("RGB")


def _grey(values: Array) -> Image.Image:
    return Image.fromarray(values.round().astype(np.uint8)).convert("RGB")


def _from_floats(values: Array) -> Array:
    least, most = float(values.min()), float(values.max())
    if not (least >= 0 and most <= 1):  # false for NaN, too
        raise DataError(
            f"holds floats from {least:.4g} to {most:.4g}; expected 0 to 1, so scale them or store 8 or 16 bits"
        )
    return values * LARGEST


def _from_whole_numbers(image: Image.Image) -> Array:
    """Grey values in 0 to 255 of an image of more than 8 bits."""
    values = np.asarray(image).astype(np.int64)
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode == "I" and tags:
        raise DataError("holds whole numbers of 32 bits, or signed ones, whose range is not known; store 8 or 16 bits")
    bits = tags.get(BITS_TAG, (16,))
    largest = 2 ** int(bits[0] if isinstance(bits, tuple) else bits) - 1
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > largest:
        raise DataError(f"holds values from {least} to {most} where 0 to {largest} are possible; store 8 or 16 bits")
    if 0 < most <= LARGEST < largest:
        raise DataError(_too_dark(most, largest))
    if tags.get(INTERPRETATION_TAG) == WHITE_IS_ZERO:
        values = largest - values
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = largest
    return values * (LARGEST / largest)


def _check_lower_bytes(image: Image.Image, source: Source) -> None:
    """Refuse colours of 16 bits that are all in the lower 8, where Pillow takes the upper ones."""
    if any(most for _, most in _colour_range(image)):
        return
    lower: Any
    with _opened(source) as lower:
        lower.tile = [part._replace(args=LOWER_BYTES[str(part.args)]) for part in lower.tile]
        whole(lower.load, "image")
        brightest = max(most for _, most in _colour_range(lower))
    if brightest:
        raise DataError(_too_dark(brightest, 2**16 - 1))


def _colour_range(image: Image.Image) -> list[tuple[int, int]]:
    """Least and largest value of red, green and blue, whatever is transparent."""
    extrema: Any = image.getextrema()
    return list(extrema[:3])


def _too_dark(most: int, largest: int) -> str:
    return (
        f"has room for values up to {largest:,} and none above {most}, so it would be black; store it with 8 bits, or "
        "scale it"
    )


def _on_a_ground(image: Image.Image) -> Image.Image:
    """A picture with transparency on white, or on black where it is white itself."""
    on_white, on_black = (_laid_on(image, colour) for colour in ("white", "black"))
    return on_black if _contrast(on_white) < VISIBLE < _contrast(on_black) else on_white


def _laid_on(image: Image.Image, colour: str) -> Image.Image:
    ground = Image.new("RGBA", image.size, colour)
    return Image.alpha_composite(ground, image).convert("RGB")


def _contrast(image: Image.Image) -> int:
    extrema: Any = image.getextrema()
    return max(most - least for least, most in extrema)
