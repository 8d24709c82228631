"""A picture is the same in whatever depth, mode and format it is stored, or it is refused."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from parity_exp.data.pictures import read_image
from parity_exp.errors import DataError

GREY = np.arange(256, dtype=np.uint8).reshape(8, 32)
COLOURS = np.stack([GREY, GREY[::-1], np.roll(GREY, 3)], axis=-1)
SHAPE = np.zeros((8, 32), np.uint8)
SHAPE[2:6, 5:20] = 255
SHAPE[2:6, 20:25] = 128


def read(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=-1)


def saved(folder: Path, image: Image.Image, suffix: str, **settings: object) -> Path:
    image.save(folder / f"picture{suffix}", **settings)
    return folder / f"picture{suffix}"


def write_tiff(path: Path, values: np.ndarray, bits: int, sample_format: int, white_is_zero: bool = False) -> None:
    """A TIFF of one grey strip, as scientific software writes it."""
    height, width = values.shape
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, int(not white_is_zero)),
        (273, 4, 8 + 2 + 12 * 10 + 4), (277, 3, 1), (278, 4, height), (279, 4, len(content)), (339, 3, sample_format),
    ]  # fmt: skip
    entries = b"".join(
        tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        for tag, kind, value in tags
    )
    path.write_bytes(
        b"II*\x00\x08\x00\x00\x00" + len(tags).to_bytes(2, "little") + entries + b"\x00\x00\x00\x00" + content
    )


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_sixteen_bits_of_grey_show_what_eight_bits_show(tmp_path: Path, suffix: str) -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    assert np.array_equal(read(saved(tmp_path, deep, suffix)), grey(GREY))


def test_sixteen_bits_of_colour_show_what_eight_bits_show(tmp_path: Path) -> None:
    values = COLOURS.astype(">u2") * 257
    (tmp_path / "deep.ppm").write_bytes(b"P6 32 8 65535\n" + values.astype(">u2").tobytes())
    assert np.array_equal(read(tmp_path / "deep.ppm"), COLOURS)


def write_deep_png(path: Path, values: np.ndarray) -> None:
    """A PNG of 16 bits a sample, ``(H, W, C)``, which Pillow cannot write in colours."""
    height, width, channels = values.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_shows_what_8_bits_show_or_is_refused(tmp_path: Path, channels: int) -> None:
    values = np.repeat(GREY[..., None], channels, axis=-1).astype(np.uint16)
    opaque = channels in (2, 4)
    for factor in (257, 1, 0):
        stored = values * factor
        if opaque:
            stored[..., -1] = 65_535
        write_deep_png(tmp_path / "deep.png", stored)
        if factor == 1 and channels == 2:
            continue  # nothing tells these from a black picture
        if factor == 1:
            with pytest.raises(DataError, match="none above 255, so it would be black"):
                read_image(tmp_path / "deep.png")
        else:
            assert np.array_equal(read(tmp_path / "deep.png"), grey(GREY if factor else GREY * 0))


def test_white_as_zero_is_read_by_its_tag(tmp_path: Path) -> None:
    write_tiff(tmp_path / "inverted.tif", (255 - GREY).astype(np.uint16) * 257, 16, 1, white_is_zero=True)
    assert np.array_equal(read(tmp_path / "inverted.tif"), grey(GREY))


def test_floats_from_zero_to_one_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY.astype(np.float32) / 255), ".tif")
    assert np.array_equal(read(path), grey(GREY))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (GREY.astype(np.float32), ["floats from 0 to 255", "expected 0 to 1"]),
        (GREY.astype(np.float32) / -255, ["floats from -1"]),
        (np.full((8, 32), np.nan, np.float32), ["floats from nan"]),
        (GREY.astype(np.int32), ["32 bits", "8 or 16 bits"]),
        (GREY.astype(np.uint16), ["65,535", "none above 255"]),
    ],
)
def test_a_picture_whose_range_is_not_known_is_refused(tmp_path: Path, values: np.ndarray, words: list[str]) -> None:
    path = saved(tmp_path, Image.fromarray(values), ".tif")
    with pytest.raises(DataError) as error:
        read_image(path)
    assert all(word in str(error.value) for word in words), error.value


def test_signed_numbers_are_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "signed.tif", GREY.astype(np.int16) - 100, 16, 2)
    with pytest.raises(DataError, match="signed"):
        read_image(tmp_path / "signed.tif")


def test_a_black_picture_of_sixteen_bits_is_black(tmp_path: Path) -> None:
    assert not read(saved(tmp_path, Image.fromarray(np.zeros((8, 32), np.uint16)), ".png")).any()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "RGBA", "LA", "LAB"])
def test_every_mode_without_transparency_gives_its_colours(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(grey(SHAPE)).convert("LAB" if mode == "LAB" else mode)
    suffix = ".png" if mode in ("1", "L", "P", "RGB", "RGBA", "LA") else ".tif"
    found = read(saved(tmp_path, image, suffix)).astype(int)
    tolerance = {"1": 128, "YCbCr": 2, "LAB": 3, "P": 26}.get(mode, 0)
    assert abs(found - grey(SHAPE)).max() <= tolerance
    assert found[0, 0].max() <= 3 and found[3, 10].min() >= 252


@pytest.mark.parametrize("colour", [0, 60, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_in_the_alpha_channel_alone_stays_visible(tmp_path: Path, mode: str, colour: int) -> None:
    plane = Image.fromarray(np.full((8, 32), colour, np.uint8))
    bands = [plane] * (3 if mode == "RGBA" else 1)
    found = read(saved(tmp_path, Image.merge(mode, [*bands, Image.fromarray(SHAPE)]), ".png"))
    inside, edge, outside = found[3, 10, 0], found[3, 22, 0], found[0, 0, 0]
    assert inside == colour
    assert outside == (0 if colour == 255 else 255)
    assert min(inside, outside) < edge < max(inside, outside)


def test_a_transparent_entry_of_a_palette_is_white(tmp_path: Path) -> None:
    image = Image.fromarray((SHAPE > 0).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 10, 20, 30])
    found = read(saved(tmp_path, image, ".png", transparency=0))
    assert found[0, 0].tolist() == [255, 255, 255] and found[3, 10].tolist() == [10, 20, 30]


def test_one_transparent_colour_is_white(tmp_path: Path) -> None:
    found = read(saved(tmp_path, Image.fromarray(grey(SHAPE)), ".png", transparency=(0, 0, 0)))
    assert found[0, 0].tolist() == [255, 255, 255] and found[3, 22].tolist() == [128, 128, 128]


def test_a_file_of_several_pictures_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(grey(SHAPE)), Image.fromarray(grey(GREY))]
    path = saved(tmp_path, pages[0], ".tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match="holds 2 pictures"):
        read_image(path)


def test_a_picture_cut_short_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), ".png")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="cut short or damaged"):
        read_image(path)


def test_a_picture_beyond_pillows_bound_is_said_to_be_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, Image.fromarray(GREY), ".png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="too large"):
        read_image(path)
