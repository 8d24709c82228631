"""A job that a library ends says in one line what the user can mend, wherever in the job that happens."""

from pathlib import Path

import pytest

from tests.conftest import QUICK, Run, run_dirs

NETWORKS = '''
import torch
from torch import nn


class Fails(nn.Module):
    """Fails while it is trained, not while it is tried."""

    def __init__(self, input_shape, outputs, how):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0] * input_shape[1] * input_shape[2], outputs))
        self.how = how

    def forward(self, images):
        if self.training:
            if self.how == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has no more")
            if self.how == "shape":
                return self.layers(images[:, :, 1:])
            if self.how == "precision":
                return self.layers(images.double())
        if self.how == "always":
            return self.layers[9](images)
        return self.layers(images)
'''


LARGE = '''
import torch
from torch import nn


class Large(nn.Module):
    """Asks for a petabyte."""

    def __init__(self, input_shape, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2**50, dtype=torch.uint8), requires_grad=False)
'''


@pytest.mark.parametrize("limit", [72, 144])
@pytest.mark.slow
def test_a_batch_of_one_is_never_left_over(run: Run, folder: Path, limit: int) -> None:
    # 65 samples, or 65 groups of two, in batches of 64.
    arguments = ("architecture=vgg11", f"dataset.limit={limit}", "base.batch_size=64", "batch_groups=64")
    assert run("train", *QUICK, *arguments, "tracker=none", "base.max_epochs=1", "trainer.max_epochs=1") == 0
    assert len(run_dirs(folder)) == 1


@pytest.mark.parametrize("key", ["base.batch_size", "batch_groups"])
def test_batches_of_one_are_refused_before_anything_is_trained(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], key: str
) -> None:
    assert run("train", *QUICK, "tracker=none", "architecture=vgg11", f"{key}=1") == 2
    line = capfd.readouterr().err
    assert key in line and "batch normalisation" in line and "Traceback" not in line
    assert not Path("outputs", "train").exists()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("memory", ["GPU has no memory left", "2.00 GiB", "base.batch_size"]),
        ("shape", ["networks.py, line", "shapes do not fit"]),
        ("precision", ["trainer.precision=32-true"]),
        ("always", ["architecture", "networks.Fails", "IndexError"]),
    ],
)
def test_a_network_that_fails_is_explained(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], how: str, words: list[str]
) -> None:
    (folder / "networks.py").write_text(NETWORKS)
    assert run("train", *QUICK, "tracker=none", "architecture._target_=networks.Fails", f"+architecture.how={how}",
               "~architecture.hidden") == 2  # fmt: skip
    shown = capfd.readouterr().err
    assert "Traceback" not in shown
    assert all(word in shown for word in words), shown


def test_more_memory_than_there_is_is_explained(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "large.py").write_text(LARGE)
    assert run("train", *QUICK, "tracker=none", "architecture._target_=large.Large", "~architecture.hidden") == 2
    shown = capfd.readouterr().err
    assert "architecture" in shown and "no memory left" in shown and "Traceback" not in shown
