import signal
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from parity_exp.data.sources import SYSTEM_FOLDERS
from tests.conftest import QUICK, Run, Trained, metrics, run_dirs, start
from tests.data.files import write_idx

FASHION_MNIST = any(Path(folder, "fashion-mnist").is_dir() for folder in SYSTEM_FOLDERS)


@pytest.mark.draws
def test_a_run_directory_holds_what_the_contract_says(run: Run, folder: Path) -> None:
    assert run("train", *QUICK, "k=3", "r=2") == 0
    (run_dir,) = run_dirs(folder)
    for name in (
        "config.yaml", ".hydra/overrides.yaml", "metrics.json", "history.csv", "environment.json", "per_class.csv",
        "overall.csv", "checkpoints/base.ckpt", "checkpoints/parity-0.ckpt", "checkpoints/parity-1.ckpt",
        "checkpoints/encoder.ckpt", "checkpoints/decoder.ckpt", "checkpoints/last.ckpt", "figures/learning_curves.png",
        "figures/degraded_by_class.png", "figures/overall_accuracy.png", "figures/groups.png",
    ):  # fmt: skip
        assert (run_dir / name).stat().st_size > 0, name
    values = metrics(run_dir)
    assert {"test/available_accuracy", "test/degraded_accuracy_top5", "test/losses_2/degraded_accuracy"} <= set(values)
    assert values["train/epochs"] == len(pd.read_csv(run_dir / "history.csv")) == 2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_metrics(run: Run, folder: Path) -> None:
    for seed in (3, 3, 4):
        assert run("train", *QUICK, "tracker=none", f"seed={seed}", "base.seed=0") == 0
    histories = [pd.read_csv(path / "history.csv")["train/loss"].tolist() for path in run_dirs(folder)]
    assert histories[0] == histories[1] != histories[2]
    measured = [
        {
            key: value
            for key, value in metrics(path).items()
            if not key.endswith(("seconds", "_second", "_epoch", "_us"))
        }
        for path in run_dirs(folder)
    ]
    assert measured[0] == measured[1]


def test_evaluate_repeats_what_train_measured(run: Run, folder: Path, trained: Trained) -> None:
    assert run("evaluate", f"run={trained()}", "tracker=none") == 0
    (evaluated,) = run_dirs(folder, "evaluate")
    lasting = ("test/", "cost/base", "cost/parity", "cost/decoder")
    expected = {key: value for key, value in metrics(trained()).items() if key.startswith(lasting)}
    assert {key: value for key, value in metrics(evaluated).items() if not key.endswith("_us")} == expected
    assert run("evaluate", f"run={trained()}", "k=3") == 2


@pytest.mark.draws
@pytest.mark.slow
def test_evaluate_takes_another_grouping_another_list_and_another_root(run: Run, folder: Path) -> None:
    write_idx(folder / "first", seed=1)
    quick = ("trainer.max_epochs=1", "base.max_epochs=1", "tracker=none")
    assert run("train", "dataset=mnist", "dataset.root=first", *quick) == 0
    (trained,) = run_dirs(folder)
    again = (f"run={trained}", "tracker=none", "evaluation.seed=5", "evaluation.groupings=2")
    assert run("evaluate", *again, "evaluation.fractions_unavailable=[0,0.5]") == 0
    write_idx(folder / "second", packed=True, seed=2)
    assert run("evaluate", *again, "dataset.root=second") == 0
    first, second = run_dirs(folder, "evaluate")
    assert pd.read_csv(first / "overall.csv")["fraction_unavailable"].tolist() == [0, 0.5]
    for path in (first, second):
        assert {"metrics.json", "overall.csv", "per_class.csv", "figures", "environment.json"} <= {
            file.name for file in path.iterdir()
        }
    images = Image.open(first / "figures" / "groups.png"), Image.open(second / "figures" / "groups.png")
    assert images[0].tobytes() != images[1].tobytes(), "other images were evaluated"


@pytest.mark.parametrize(
    "choices",
    [
        ["experiment=learning_a_code", "encoder.width=2"],
        ["encoder=mlp", "decoder=mlp", "objective=cross_entropy", "dataset.size=8"],
        ["encoder=mlp", "decoder=mlp", "objective=kl", "k=3", "r=2", "dataset.size=8", "parity.trainable=false"],
        ["encoder=concat", "r=2", "objective=weighted_sum", "optimizer=adamw", "scheduler=cosine"],
        [
            "initialisation=base",
            "optimisation.accumulate_grad_batches=2",
            "optimisation.gradient_clip_val=1",
        ],
        ["architecture=logistic", "architecture@parity.architecture=lenet", "trainer.precision=bf16-mixed"],
    ],
)
@pytest.mark.slow
def test_choices_train(run: Run, folder: Path, choices: list[str]) -> None:
    assert run("train", *QUICK, "tracker=none", *choices) == 0


@pytest.mark.slow
def test_a_foreign_state_dict_is_the_base_model_and_scores_the_same(run: Run, folder: Path) -> None:
    assert run("train", *QUICK, "base.max_epochs=10", "tracker=none") == 0
    (first,) = run_dirs(folder)
    ours = torch.load(first / "checkpoints" / "base.ckpt", weights_only=True)["state_dict"]
    torch.save({key.replace("layers.1", "nn.0"): value for key, value in ours.items()}, "foreign.pt")
    assert run("train", *QUICK, "base.checkpoint=foreign.pt", "k=3", "tracker=none") == 0
    second = run_dirs(folder)[-1]
    assert metrics(second)["test/available_accuracy"] == metrics(first)["test/available_accuracy"] > 0.5
    assert not (second / "base_history.csv").exists(), "nothing was trained in its place"


@pytest.mark.skipif(not FASHION_MNIST, reason="Fashion-MNIST is not installed")
@pytest.mark.slow
def test_real_images_of_clothing(run: Run, folder: Path) -> None:
    choices = ["dataset=fashion_mnist", "encoder=concat", "k=4", "base.max_epochs=2", "trainer.max_epochs=3"]
    assert run("train", *choices, "initialisation=base", "tracker=none") == 0
    (run_dir,) = run_dirs(folder)
    values = metrics(run_dir)
    assert values["test/available_accuracy"] > 0.8
    assert values["test/degraded_accuracy"] > 0.25
    assert pd.read_csv(run_dir / "per_class.csv")["samples"].tolist() == [1_000] * 10


@pytest.mark.slow
def test_a_sweep_trains_one_base_model_and_ends_with_a_table(run: Run, folder: Path) -> None:
    assert run("train", "-m", "k=2,3", "encoder=addition,concat", *QUICK, "tracker=none") == 0
    (table,) = folder.rglob("sweep.csv")
    assert pd.read_csv(table)["k"].tolist() == [2, 2, 3, 3]
    assert len(list((folder / "outputs" / "base").glob("*/base.ckpt"))) == 1


def test_an_encoder_from_outside_the_package(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "my_conf" / "encoder").mkdir(parents=True)
    (folder / "my_conf" / "encoder" / "mean.yaml").write_text("_target_: my_codes.MeanEncoder\n")
    (folder / "my_codes.py").write_text(
        "from parity_exp.coding import Encoder\n"
        "class MeanEncoder(Encoder):\n"
        "    def forward(self, prepared):\n"
        "        return prepared.mean(dim=1, keepdim=True)\n"
    )
    monkeypatch.syspath_prepend(folder)
    assert run("train", *QUICK, "tracker=none", "hydra.searchpath=[file://my_conf]", "encoder=mean") == 0


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_number_of_epochs(run: Run, folder: Path) -> None:
    job = start(folder, "train", *QUICK, "tracker=none", "trainer.max_epochs=150")
    deadline = time.monotonic() + 150
    while not list(folder.rglob("train/**/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    job.send_signal(signal.SIGKILL)
    job.communicate(timeout=30)
    (run_dir,) = run_dirs(folder)
    assert not (run_dir / "metrics.json").exists()
    assert run("train", f"resume={run_dir}") == 0
    assert metrics(run_dir)["train/epochs"] == 150
    assert pd.read_csv(run_dir / "history.csv")["epoch"].tolist() == list(range(1, 151))


@pytest.mark.slow
def test_sweepers_get_what_validation_says(run: Run, folder: Path) -> None:
    given = ["-m", *QUICK, "tracker=none", "+hydra.callbacks.values._target_=tests.commands.job_values.JobValues"]
    assert run("train", *given, "code=parity,berrut") == 0
    values = [float(line) for line in (folder / "values.txt").read_text().split()]
    measured = [metrics(path) for path in run_dirs(folder)]
    assert values == [one["train/best_val_degraded_accuracy"] for one in measured]
    assert values != [one["test/degraded_accuracy"] for one in measured]
