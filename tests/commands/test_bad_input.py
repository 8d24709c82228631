"""Bad input gives exit status 2, one line that names the key or path, no traceback, and leaves nothing behind."""

import os
import resource
from pathlib import Path

import pytest
import torch

from tests.conftest import QUICK, Run, start


def refuse(run: Run, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run("train", *QUICK, "tracker=none", *arguments) == 2
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err + captured.out
    assert not Path("outputs", "train").exists()
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["k=1"], ["k=1", "2 or more"]),
        (["k=abc"], ["k=abc", "whole number"]),
        (["k=true"], ["k=True", "whole number"]),
        (["r=0"], ["r=0", "1 or more"]),
        (["k=300"], ["k=300", "samples"]),
        (["dataset=nosuch"], ["dataset/nosuch", "fashion_mnist"]),
        (["encodr=concat"], ["encodr"]),
        (["encoder.width=3"], ["encoder.width"]),
        (["base.scheduler=cosine"], ["scheduler@base.scheduler=cosine"]),
        (["optimizer.lr=abc"], ["optimizer"]),
        (["base.optimizer.lr=-1"], ["base.optimizer", "-1"]),
        (["trainer.accelerator=abacus"], ["trainer", "abacus"]),
        (["optimisation.accumulate_grad_batches=0"], ["optimisation.accumulate_grad_batches=0"]),
        (["architecture=torchvision", "architecture.name=resnet19"], ["resnet19", "did you mean resnet18"]),
        (["architecture=lenet", "dataset.size=8"], ["architecture", "16x16"]),
        (["encoder=concat", "k=300", "dataset.size=8"], ["k=300"]),
        (["encoder=concat", "k=9", "dataset.size=2"], ["encoder", "too small"]),
        (["objective=weighted_sum", "objective.weights.kl=0", "objective.weights.mse=0"], ["objective", "weight"]),
        (["base.checkpoint=nosuch.ckpt"], ["base.checkpoint=nosuch.ckpt", "no such file"]),
        (["resume=nosuch"], ["resume=nosuch", "not a run directory"]),
        (
            ["dataset=digit_boxes", "+dataset.augmentation._target_=parity_exp.data.CropAndFlip"],
            ["dataset.augmentation", "CropAndFlip", "dataset=digit_boxes"],
        ),
    ],
)
def test_a_wrong_value_is_named(
    run: Run, capfd: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    line = refuse(run, capfd, *arguments)
    assert all(word in line for word in words)


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["decoder=mlp", "objective=mse"], ["objective", "trainable.decoder"]),
        (["trainable.encoder=true"], ["trainable.encoder", "AdditionEncoder"]),
        (
            ["parity.trainable=false", "decoder=subtraction"],
            ["trainable.encoder", "trainable.decoder", "parity.trainable"],
        ),
        (
            ["parity.trainable=false", "encoder=conv", "architecture@parity.architecture=logistic"],
            ["parity.trainable=false", "parity.architecture"],
        ),
        (["parity.trainable=false"], ["parity.trainable=false", "parity.extra_outputs=0"]),
        (["decoder=subtraction", "parity.extra_outputs=8"], ["parity.extra_outputs=8", "decoder=residual"]),
        (
            ["initialisation=base", "architecture@parity.architecture=logistic"],
            ["initialisation=base", "parity.architecture"],
        ),
    ],
)
def test_choices_that_do_not_go_together_are_refused_with_both_keys(
    run: Run, capfd: pytest.CaptureFixture[str], arguments: list[str], keys: list[str]
) -> None:
    line = refuse(run, capfd, *arguments)
    assert all(key in line for key in keys)


def test_a_junk_checkpoint_is_refused(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("junk.ckpt").write_text("junk")
    assert "junk.ckpt" in refuse(run, capfd, "base.checkpoint=junk.ckpt")


def test_a_checkpoint_of_another_network_is_refused(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.save({"fc.weight": torch.zeros(3, 4)}, "other.pt")
    line = refuse(run, capfd, "base.checkpoint=other.pt")
    assert "expected" in line and "found" in line and "fc.weight (3, 4)" in line


@pytest.mark.parametrize("outputs", ["/proc/parity_exp", "/dev/null/parity_exp"])
def test_an_outputs_folder_that_cannot_be_written_is_named(
    run: Run, capfd: pytest.CaptureFixture[str], outputs: str
) -> None:
    assert outputs in refuse(run, capfd, f"outputs={outputs}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_outputs_folder_is_named(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("locked").mkdir(mode=0o555)
    assert "locked" in refuse(run, capfd, "outputs=locked")


def test_missing_data_without_a_network_say_what_is_wanted(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.error
    import urllib.request

    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    line = refuse(run, capfd, "dataset=cifar10", "dataset.root=nowhere")
    assert "data_batch_1" in line and "nowhere" in line and "no network" in line


@pytest.mark.parametrize(
    ("dataset", "wanted"),
    [
        ("speech_commands", "validation_list.txt"),
        ("image_folder", "train/<class>/"),
        ("cat_v_dog", "PetImages"),
        ("cub_localization", "bounding_boxes.txt"),
    ],
)
def test_a_data_set_of_files_that_is_nowhere_is_described(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], dataset: str, wanted: str
) -> None:
    line = refuse(run, capfd, f"dataset={dataset}", "dataset.root=nowhere")
    assert f"dataset={dataset}" in line and wanted in line and "nowhere" in line and "dataset.root" in line
    assert not Path("nowhere").exists()


def test_a_data_file_cut_short_is_named(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        Path(name).write_bytes(b"\x00\x00\x08\x03" + b"\x00\x00\x00\x09" * 3 + b"\x01" * 50)
    for name in ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"):
        Path(name).write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x09" + b"\x01" * 9)
    line = refuse(run, capfd, "dataset=mnist", "dataset.root=.")
    assert "train-images-idx3-ubyte" in line and "cut short" in line


def test_a_diverging_run_is_explained(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("train", *QUICK, "tracker=none", "optimizer=sgd", "optimizer.lr=1e30", "scheduler=none") == 2
    line = capfd.readouterr().err
    assert "diverged" in line and "optimizer.lr" in line


@pytest.mark.slow
def test_one_bad_job_does_not_stop_a_sweep(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("train", "-m", "k=1,2", *QUICK, "tracker=none") == 2
    assert "k=1" in capfd.readouterr().err
    assert len(list(folder.rglob("metrics.json"))) == 1


def test_a_full_disk_while_checkpoints_are_written_is_explained(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Files of more than 100 kB cannot be written: configs and histories can, checkpoints cannot.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert run("train", *QUICK, "tracker=none") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    shown = capfd.readouterr().err
    assert "Traceback" not in shown
    assert "last.ckpt: File too large" in shown
    assert not list(folder.rglob("*.part"))


def test_evaluate_needs_a_run(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate") == 2
    assert "run=" in capfd.readouterr().err
    assert run("evaluate", "run=nosuch") == 2
    assert "run=nosuch" in capfd.readouterr().err


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_can_be_resumed(run: Run, folder: Path) -> None:
    import signal
    import time

    from tests.conftest import run_dirs
    from tests.tracking.wandb_file import read_run

    job = start(
        folder,
        "train",
        "dataset.limit=400",
        "base.max_epochs=2",
        "trainer.max_epochs=100000",
        "trainer.accelerator=cpu",
    )
    deadline = time.monotonic() + 150
    while not list(folder.rglob("train/**/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.2)
    job.send_signal(signal.SIGINT)
    output, _ = job.communicate(timeout=150)
    assert job.returncode == 130, output
    assert "Traceback" not in output
    (run_dir,) = run_dirs(folder)
    (tracked,) = (run_dir / "wandb").glob("offline-run-*/*.wandb")
    assert read_run(tracked).exit_code == 1
    epochs = int((run_dir / "history.csv").read_text().splitlines()[-1].partition(",")[0])
    assert run("train", f"resume={run_dir}", f"trainer.max_epochs={epochs + 5}", "tracker=none") == 0
