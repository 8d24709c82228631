"""Speech Commands: the archive's folder and lists, the features, and what is wrong with files."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from parity_exp.data import SpeechCommands, Splits
from parity_exp.data.speech_commands import read_sound, spectrogram
from parity_exp.errors import DataError
from tests.data.files import write_speech_commands, write_wav


def load(root: Path, **settings: object) -> Splits:
    return SpeechCommands(name="speech_commands", root=str(root), **settings).load()  # type: ignore[arg-type]


def refusal(root: Path, **settings: object) -> str:
    with pytest.raises(DataError) as error:
        load(root, **settings)
    line = str(error.value)
    assert line.startswith("speech_commands: ") and "\n" not in line
    return line


@pytest.mark.parametrize(
    "below", ["", "speech_commands", "speech_commands_v0.01", "SpeechCommands/speech_commands_v0.02"]
)
def test_the_archives_own_lists_split_it(tmp_path: Path, below: str) -> None:
    written = write_speech_commands(tmp_path / below)
    splits = load(tmp_path)
    assert splits.task.class_names == ("bed", "cat", "yes"), "background noise is no word"
    for name in ("train", "validation", "test"):
        samples = getattr(splits, name)
        expected = {
            (
                file.split("/")[0],
                spectrogram(read_sound(tmp_path / below / file)).half().sum(dtype=torch.float64).item(),
            )
            for file in written[name]
        }
        found = {
            (splits.task.class_names[label], inputs.sum(dtype=torch.float64).item())
            for inputs, label in zip(samples.inputs, samples.labels, strict=True)
        }
        assert found == expected
    assert splits.query_shape == (1, 161, 101)
    assert splits.normalise(splits.train.inputs).dtype == torch.float32


def test_every_spectrogram_has_mean_0_and_variance_1(tmp_path: Path) -> None:
    write_speech_commands(tmp_path)
    inputs = load(tmp_path).train.inputs.double().flatten(1)
    torch.testing.assert_close(inputs.mean(1), torch.zeros(9, dtype=torch.float64), rtol=0, atol=1e-3)
    torch.testing.assert_close(inputs.var(1), torch.ones(9, dtype=torch.float64), rtol=0, atol=3e-3)


def test_the_features_are_the_logarithm_of_the_fourier_transforms_size(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav")
    sound = read_sound(tmp_path / "a.wav")
    padded = np.pad(sound.numpy(), 160, mode="reflect")
    frames = np.stack([padded[160 * t : 160 * t + 320] for t in range(101)], axis=1)
    # A periodic Hamming window of 20 ms at 16 kHz.
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(320) / 320)
    features = np.log1p(np.abs(np.fft.rfft(frames * window[:, None], axis=0)))
    expected = (features - features.mean()) / features.std()
    np.testing.assert_allclose(spectrogram(sound).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("length", [1, 100, 319, 320, 321, 7_000, 15_999, 16_000, 16_001, 40_000])
def test_recordings_of_any_length_are_padded_or_cut(length: int) -> None:
    sound = torch.randn(length, generator=torch.Generator().manual_seed(0))
    features = spectrogram(sound)
    assert features.shape == (161, 101) and features.isfinite().all()
    if length < 15_000:
        silence = features[:, -1]
        assert (silence == silence[0]).all() and silence[0] == features.min()
    if length > 16_000:
        whole = torch.stft(sound, 320, 160, window=torch.hamming_window(320), return_complex=True).abs().log1p()
        cut = whole[:, :101]
        torch.testing.assert_close(features, (cut - cut.mean()) / cut.std(correction=0))


def test_silence_has_no_features() -> None:
    assert (spectrogram(torch.zeros(16_000)) == 0).all()


def test_channels_are_averaged(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "stereo.wav", channels=2)
    np.testing.assert_allclose(read_sound(tmp_path / "stereo.wav").numpy(), sound.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("subtype", "exact"),
    [("PCM_U8", 0.01), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("PCM_32", 1e-6), ("FLOAT", 1e-6), ("DOUBLE", 1e-6),
     ("ULAW", 0.05), ("ALAW", 0.05)],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_is_the_same_in_whatever_depth_it_is_stored(
    tmp_path: Path, subtype: str, exact: float, channels: int
) -> None:
    tone = 0.5 * np.sin(np.arange(16_000) * 0.1)
    soundfile.write(tmp_path / "a.wav", np.repeat(tone[:, None], channels, axis=1), 16_000, subtype=subtype)
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav").numpy(), tone, atol=exact)


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.full(9, 12_000.0), "up to 12,000"),
        (np.full(9, -3.0), "between -1 and 1"),
        (np.full(9, np.nan), "no numbers"),
        (np.stack([np.sin(np.arange(99)), -np.sin(np.arange(99))], axis=1), "cancel each other out"),
        (np.zeros((0, 2)), "no sound"),
    ],
)
def test_sound_out_of_range_is_refused(tmp_path: Path, sound: np.ndarray, words: str) -> None:
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    with pytest.raises(DataError, match=words):
        read_sound(tmp_path / "a.wav")


def test_silence_in_two_channels_is_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((99, 2)), 16_000)
    assert (read_sound(tmp_path / "a.wav") == 0).all()


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_sound_of_another_rate_is_refused(tmp_path: Path, rate_hz: int) -> None:
    write_wav(tmp_path / "a.wav", rate_hz=rate_hz)
    with pytest.raises(DataError, match=f"has {rate_hz:,} Hz; expected 16,000 Hz"):
        read_sound(tmp_path / "a.wav")


def test_what_is_nowhere_is_named_with_what_to_do(tmp_path: Path) -> None:
    line = refusal(tmp_path / "nowhere")
    for part in ("validation_list.txt", "testing_list.txt", str(tmp_path / "nowhere"), "v0.01.tar.gz", "set root"):
        assert part in line


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-200], "cut short"),
        (lambda content: content[:20], "cut short"),
        (lambda content: content[:3], "no WAV file"),
        (lambda _: b"", "no WAV file"),
        (lambda _: b"<html>not found</html>", "no WAV file"),
        (lambda content: content[:8] + b"ABCD" + content[12:], "no WAV file"),
    ],
)
def test_a_damaged_recording_is_named(tmp_path: Path, damage: object, reason: str) -> None:
    name = write_speech_commands(tmp_path)["train"][2]
    path = tmp_path / name
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    line = refusal(tmp_path)
    assert str(path) in line and reason in line
    assert not list((tmp_path / ".parity_exp_cache").glob("speech*training*")), "nothing half read is kept"


def test_another_rate_and_no_sound_are_refused(tmp_path: Path) -> None:
    name = write_speech_commands(tmp_path)["test"][0]
    write_wav(tmp_path / name, 8_000, rate_hz=8_000)
    line = refusal(tmp_path)
    assert name in line and "8,000 Hz" in line and "16,000 Hz" in line
    write_wav(tmp_path / name, 0)
    assert "no sound" in refusal(tmp_path)


def test_a_list_that_names_what_is_not_there_is_named(tmp_path: Path) -> None:
    name = write_speech_commands(tmp_path)["validation"][1]
    (tmp_path / name).unlink()
    line = refusal(tmp_path)
    assert name in line and "validation_list.txt" in line


def test_lists_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    written = write_speech_commands(tmp_path)
    with (tmp_path / "testing_list.txt").open("a") as stream:
        stream.write(written["validation"][0])
    assert written["validation"][0] in refusal(tmp_path)
    (tmp_path / "testing_list.txt").write_bytes(b"\xff\xfe\x00\xff")
    assert re.search(r"testing_list.txt is no text", refusal(tmp_path))


def test_lists_without_recordings_are_too_few(tmp_path: Path) -> None:
    for name in ("validation_list.txt", "testing_list.txt"):
        (tmp_path / name).write_text("")
    assert "0 training samples" in refusal(tmp_path)


def test_a_limit_reads_no_more_than_it_needs(tmp_path: Path) -> None:
    write_speech_commands(tmp_path)
    splits = load(tmp_path, limit=2)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (2, 2, 2)
    assert torch.equal(splits.train.inputs, load(tmp_path).train.inputs[:2])


@pytest.mark.parametrize("below", ["", "gcommands", "speech_commands"])
@pytest.mark.parametrize("validation", ["valid", "validation"])
@pytest.mark.one_of_many
def test_splits_that_are_folders_already_are_those_of_the_lists(tmp_path: Path, below: str, validation: str) -> None:
    written = write_speech_commands(tmp_path / "lists")
    for split, names in written.items():
        for name in names:
            target = tmp_path / "folders" / below / (validation if split == "validation" else split) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((tmp_path / "lists" / name).read_bytes())
    write_wav(tmp_path / "folders" / below / "train" / "_background_noise_" / "noise.wav")
    by_list, by_folder = load(tmp_path / "lists"), load(tmp_path / "folders")
    assert by_folder.task.class_names == ("bed", "cat", "yes")
    for name in ("train", "validation", "test"):
        one, other = getattr(by_list, name), getattr(by_folder, name)
        assert sorted(one.labels.tolist()) == sorted(other.labels.tolist())
        assert {tuple(values.flatten().tolist()) for values in one.inputs} == {
            tuple(values.flatten().tolist()) for values in other.inputs
        }


@pytest.mark.parametrize(
    "written",
    [
        lambda lines: b"\xef\xbb\xbf" + "\n".join(lines).encode(),
        lambda lines: "\r\n".join(lines).encode("utf-16"),
        lambda lines: "".join(f"./{line}\n" for line in lines).encode(),
        lambda lines: "".join(f".\\{line}\r\n".replace("/", "\\") for line in lines).encode(),
        lambda lines: b"\xef\xbb\xbf" + "".join(f"{line}  \n\n".replace("/", "\\") for line in lines).encode(),
        lambda lines: "".join(f"speech_commands_v0.01/{line}\n" for line in lines).encode(),
        lambda lines: "".join(f"{line}\n".replace("/", "//") for line in lines).encode(),
    ],
)
@pytest.mark.one_of_many
def test_lists_are_read_as_any_system_writes_them(tmp_path: Path, written: Callable[[list[str]], bytes]) -> None:
    names = write_speech_commands(tmp_path)
    expected = load(tmp_path)
    (tmp_path / "validation_list.txt").write_bytes(written(names["validation"]))
    (tmp_path / "testing_list.txt").write_bytes(written(names["test"]))
    assert load(tmp_path).fingerprint() == expected.fingerprint()
    assert torch.equal(load(tmp_path).test.inputs, expected.test.inputs)
