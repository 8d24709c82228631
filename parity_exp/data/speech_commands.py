"""Speech Commands: one-second recordings of single words, as spectrograms."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from parity_exp.data.class_folders import are_split, class_folders, split_listing
from parity_exp.data.file_cache import Array
from parity_exp.data.file_dataset import FileDataset, Label, LabelledFile, Listing
from parity_exp.data.preparation import Preparation
from parity_exp.errors import DataError, MissingDataError
from parity_exp.files.whole_files import whole

RATE_HZ = 16_000
WINDOW_S = 0.02
HOP_S = 0.01
FRAMES = 101
"""Frames of a second of sound."""

LONGEST_S = 60
"""Seconds that are read of a recording, which has to be of a second."""

OVERSHOOT = 2.0
"""Largest value of sound in floats: 1, and what filters may add to it. Sound kept as whole numbers never gets there."""

CANCELLED = 1e-3
"""Part of the channels' power below which their average is not what was recorded."""

SUFFIXES = {".wav"}

NO_WORDS = "_."
"""How names of folders begin that hold no words."""

VALIDATION_LIST = "validation_list.txt"
TEST_LIST = "testing_list.txt"


class SpeechCommands(FileDataset):
    """Google's Speech Commands: 30 words in version 1, 35 in version 2, split by the archive's own lists.

    The folder is the official archive's: a folder a word with WAV files, ``validation_list.txt`` and
    ``testing_list.txt``; recordings in neither list are for training. Or they are in ``train/<word>/``,
    ``valid/<word>/`` and ``test/<word>/`` already. Folders whose names start with ``_``, such as
    ``_background_noise_``, hold no words.

    An input is ``(1, 161, 101)``, see :func:`spectrogram` (the features of Parity Models' speech task). Inputs are kept
    as float16, 2.1 GB for version 1: of values between about -2 and 6, that is exact to 0.002.
    """

    wanted = (VALIDATION_LIST, TEST_LIST)
    folders = (
        "speech_commands_v0.01",
        "speech_commands_v0.02",
        "SpeechCommands/speech_commands_v0.01",
        "SpeechCommands/speech_commands_v0.02",
        "gcommands",
    )
    origin = "Google's Speech Commands (speech_commands_v0.01.tar.gz, unpacked)"
    dtype = "float16"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (1, round(RATE_HZ * WINDOW_S) // 2 + 1, FRAMES)

    def reading(self) -> dict[str, Any]:
        return {"rate_hz": RATE_HZ, "window_s": WINDOW_S, "hop_s": HOP_S, "frames": FRAMES}

    def is_here(self, place: Path) -> bool:
        return are_split(place) or super().is_here(place)

    def missing(self, wanted: str) -> MissingDataError:
        return super().missing(f"{wanted}, nor train/<word>/ and test/<word>/,")

    def list_files(self, folder: Path) -> Listing:
        if are_split(folder):
            try:
                return split_listing(folder, SUFFIXES, "recordings", NO_WORDS)
            except DataError as error:
                raise self.error(str(error)) from None
        words = [path.name for path in class_folders(folder, NO_WORDS)]
        files = {
            f"{word}/{path.name}": LabelledFile(path, label)
            for label, word in enumerate(words)
            for path in (folder / word).iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        }
        chosen = {name: self._listed(folder / name, files) for name in (VALIDATION_LIST, TEST_LIST)}
        both = chosen[VALIDATION_LIST].keys() & chosen[TEST_LIST].keys()
        if both:
            raise self.error(
                f"{min(both)} is in {VALIDATION_LIST} and in {TEST_LIST} of {folder}; it can be in one only"
            )
        for name in (*chosen[VALIDATION_LIST], *chosen[TEST_LIST]):
            del files[name]
        validation, test = (list(listed.values()) for listed in chosen.values())
        return Listing(list(files.values()), validation, test, words)

    def _listed(self, path: Path, files: dict[str, LabelledFile]) -> dict[str, LabelledFile]:
        listed = {}
        for line in self.text(path).splitlines():
            if not line.strip():
                continue
            # Some lists begin with the archive's own folder.
            parts = line.strip().replace("\\", "/").split("/")
            name = "/".join([part for part in parts if part not in ("", ".")][-2:])
            if name not in files:
                raise self.error(
                    f"{path} lists {line.strip()}, which is not there; get a complete copy of {self.origin}"
                )
            listed[name] = files[name]
        return listed

    def read_file(self, file: LabelledFile) -> tuple[Array, Label]:
        return spectrogram(read_sound(file.path))[None].numpy(), file.label

    def preparation(self) -> Preparation | None:
        return Preparation("sound", _from_client)


def _from_client(content: bytes) -> Tensor:
    return spectrogram(read_sound(BytesIO(content)))[None].half()  # as samples are kept


def read_sound(source: Path | BytesIO) -> Tensor:
    """The samples of a 16 kHz WAV file, or of what is in one, ``(T,)`` in [-1, 1], whatever its depth.

    A minute of it at most; several channels are averaged.

    Raises:
        DataError: not a whole WAV file, empty, of another rate, or out of range.
    """
    import soundfile

    _check_length(source)
    longest = LONGEST_S * RATE_HZ
    sound, rate_hz = whole(lambda: soundfile.read(source, frames=longest, dtype="float32", always_2d=True), "WAV file")
    if rate_hz != RATE_HZ:
        raise DataError(f"has {rate_hz:,} Hz; expected {RATE_HZ:,} Hz, so convert it")
    if not len(sound):
        raise DataError("holds no sound")
    if not np.isfinite(sound).all():
        raise DataError("is damaged: it holds values that are no numbers")
    peak = float(np.abs(sound).max())
    if peak > OVERSHOOT:
        raise DataError(f"holds values up to {peak:,.6g}, where sound is between -1 and 1; scale it")
    samples = sound.mean(axis=1)
    if _power(samples) < CANCELLED * _power(sound):
        raise DataError("has channels that cancel each other out; convert it to one channel")
    return torch.from_numpy(np.ascontiguousarray(samples))


def _power(sound: Array) -> float:
    return float(np.square(sound, dtype=np.float64).mean())


def spectrogram(sound: Tensor) -> Tensor:
    """Normalised log-magnitude spectrogram of 16 kHz sound, ``(T,) -> (161, 101)``.

    ``log(1 + |S|)`` with S the short-time Fourier transform, window 20 ms (Hamming), hop 10 ms, frames centred. Frames
    after the first 101 are cut, missing ones are silence; then mean 0 and variance 1 over all values. Silence stays 0.
    """
    window, hop = round(RATE_HZ * WINDOW_S), round(RATE_HZ * HOP_S)
    # No more of it than the frames see; and mirroring its edges needs more than half a window.
    sound = sound[: (FRAMES - 1) * hop + window]
    sound = F.pad(sound, (0, max(0, window - len(sound))))
    transformed = torch.stft(
        sound, window, hop, window=torch.hamming_window(window), center=True, pad_mode="reflect", return_complex=True
    )
    features = transformed.abs().log1p()[:, :FRAMES]
    features = F.pad(features, (0, FRAMES - features.shape[1]))
    return (features - features.mean()) / features.std(correction=0).clamp(min=1e-6)


def _check_length(source: Path | BytesIO) -> None:
    """libsndfile reads what is left of a file that was cut short, and says nothing; its header tells.

    Raises:
        DataError: fewer bytes than the header announces.
    """

    def header() -> tuple[bytes, int]:
        if isinstance(source, BytesIO):
            return source.getvalue()[:8], source.getbuffer().nbytes
        with source.open("rb") as stream:
            return stream.read(8), source.stat().st_size

    start, size = whole(header, "WAV file")
    if len(start) < 8 or start[:4] != b"RIFF":
        raise DataError("is no WAV file")
    (announced,) = struct.unpack("<I", start[4:])
    # Writers that cannot go back leave 0 or the largest number; some do not count the last padding byte.
    if announced not in (0, 0xFFFFFFFF) and announced + 8 > size + 1:
        raise DataError(f"is cut short: {size:,} bytes instead of {announced + 8:,}")
