"""``parity_exp.train`` and ``parity_exp.evaluate``: plain objects in, metrics, tables and networks out."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from parity_exp import evaluate, train
from parity_exp.api.results import Evaluated
from parity_exp.coding import AdditionEncoder, BerrutCode, Code, NonSystematicCode, SubtractionDecoder
from parity_exp.data import Digits, TensorData
from parity_exp.errors import UserError
from parity_exp.models import MLP
from parity_exp.training import ParityMSE, TrainedParts
from tests.api.outside import Absolute, Difference, Net
from tests.conftest import Run, Trained, metrics

CPU = {"accelerator": "cpu"}
TIMES = ("second", "_us")


def small_data() -> TensorData:
    """Three classes of images that are told apart by where they are bright."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    inputs = 0.3 * torch.rand(120, 1, 4, 4, generator=random)
    inputs[torch.arange(120), 0, labels] += 0.6
    return TensorData(inputs, labels)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """A network of one's own with an encoder of one's own, kept in a folder."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    base = train(small_data(), Net, base_epochs=2, epochs=1, trainer=CPU, show_progress=False).base
    return train(
        small_data(), base, encoder=partial(Difference, factor=0.5), objective=Absolute(), epochs=2, trainer=CPU,
        folder=folder, show_progress=False,
    )  # fmt: skip


def test_importing_the_package_does_not_import_torch() -> None:
    program = "import sys, parity_exp; assert 'torch' not in sys.modules and 'train' in dir(parity_exp)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_function_measures_what_the_command_measures(trained: Trained) -> None:
    of_command = metrics(trained())
    of_function = train(
        Digits(name="digits", limit=400), MLP, epochs=2, base_epochs=2, trainer=CPU, show_progress=False
    ).metrics
    assert list(of_function) == list(of_command)
    for name, value in of_command.items():
        assert any(time in name for time in TIMES) or of_function[name] == value, name


def test_a_result_has_metrics_tables_figures_and_networks(kept: Evaluated) -> None:
    assert kept.metrics["train/epochs"] == 2 and 0 <= kept.metrics["test/degraded_accuracy"] <= 1
    assert kept.history is not None and kept.history["epoch"].tolist() == [1, 2]
    assert kept.base_history is None  # it was trained already
    assert kept.per_class["class"].tolist() == ["0", "1", "2"]
    assert {"overall_accuracy", "groups", "learning_curves", "degraded_by_class"} == set(kept.figures())
    assert isinstance(kept.base, Net) and isinstance(kept.parity_models[0], Net)
    assert isinstance(kept.code, Code) and isinstance(kept.code.encoder, Difference)
    assert "degraded" in kept._repr_html_()


def test_a_folder_holds_what_a_run_directory_holds(kept: Evaluated) -> None:
    folder = kept.folder
    assert folder is not None and json.loads((folder / "metrics.json").read_text()) == kept.metrics
    assert kept.history is not None
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), kept.history)
    for name in ("config.yaml", "environment.json", "per_class.csv", "overall.csv", "checkpoints/parity-0.ckpt"):
        assert (folder / name).is_file(), name


def test_a_command_evaluates_what_the_function_has_trained(kept: Evaluated, run: Run, folder: Path) -> None:
    where = (f"run={kept.folder}", "trust=[tests.api.outside]", "tracker=none", "hydra.run.dir=again")
    assert run("evaluate", *where) == 0
    again = metrics(folder / "again")
    tested = {name: value for name, value in kept.metrics.items() if name.startswith("test/")}
    assert {name: again[name] for name in tested} == tested


def test_the_function_evaluates_a_run_of_the_command(trained: Trained, tmp_path: Path) -> None:
    run_dir = trained()
    again = evaluate(run_dir, accelerator="cpu")
    assert {name: metrics(run_dir)[name] for name in again.metrics if name.startswith("test/")} == {
        name: value for name, value in again.metrics.items() if name.startswith("test/")
    }
    assert again.folder is None


def test_an_evaluation_can_be_kept_and_repeated(kept: Evaluated, tmp_path: Path) -> None:
    first = evaluate(kept, groupings=2, folder=tmp_path / "more", accelerator="cpu", trust=["tests.api.outside"])
    assert first.folder == tmp_path / "more" and (tmp_path / "more" / "metrics.json").is_file()
    parts = TrainedParts(kept.base, kept.parity_models, kept.code)
    second = evaluate(parts, small_data(), groupings=2, accelerator="cpu")
    assert second.metrics["test/degraded_accuracy"] == first.metrics["test/degraded_accuracy"]


def test_modules_that_nobody_has_named_are_not_run(kept: Evaluated) -> None:
    with pytest.raises(UserError, match=r"wants to run tests\.api\.outside\..* add trust="):
        evaluate(str(kept.folder))


def test_a_code_over_copies_trains_nothing() -> None:
    base = Net()
    result = train(small_data(), base, k=2, code=BerrutCode, trainer=CPU, show_progress=False)
    assert isinstance(result.code, NonSystematicCode) and result.code.last is not None
    assert not result.parity_models and "test/no_loss_accuracy" in result.metrics


def test_objects_are_taken_as_they_are() -> None:
    code = Code(AdditionEncoder(2, 1, (1, 4, 4)), SubtractionDecoder(2, 1, (3,)))
    result = train(
        small_data(), Net(), code=code, parity=Net, objective=ParityMSE(), epochs=1, trainer=CPU, show_progress=False
    )
    assert result.code is code


def test_a_class_that_cannot_be_imported_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    class Local(Net):
        pass

    folder = tmp_path / "run"
    with pytest.raises(ValueError, match=r"base: commands cannot import .*Local; write it into a file"):
        train(small_data(), Local, base_epochs=1, epochs=1, trainer=CPU, folder=folder, show_progress=False)
    assert not folder.exists()


def test_an_object_that_does_not_say_what_it_was_made_of_is_refused(tmp_path: Path) -> None:
    encoder = AdditionEncoder(2, 1, (1, 4, 4))
    with pytest.raises(ValueError, match=r"encoder: .*AdditionEncoder does not say what its position_code was; give"):
        train(small_data(), Net(), encoder=encoder, epochs=1, trainer=CPU, folder=tmp_path / "run")


def test_a_folder_of_another_run_is_refused(kept: Evaluated) -> None:
    assert kept.folder is not None
    before = (kept.folder / "metrics.json").read_text()
    with pytest.raises(UserError, match=r"folder=.*: holds another run, and what differs is .*; give another folder"):
        train(small_data(), Net(), epochs=1, trainer=CPU, folder=kept.folder)
    assert (kept.folder / "metrics.json").read_text() == before


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"k": 1}, "k=1 and r=1: expected 2 or more"),
        ({"frozen": ("head",)}, r"frozen=\['head'\]: expected some of encoder, decoder and parity"),
        ({"trainer": {"devices": 2}}, "devices=2 are for several processes"),
        ({"frozen": ("encoder", "decoder", "parity")}, "no part of the code is trained"),
        ({"optimizer": partial(torch.optim.Adam, lr=-1.0)}, "optimizer of the coded model: Invalid learning rate"),
        ({"epochs": 1, "trainer": {"check_val_every_n_epoch": 5}}, "none is validated"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(settings: dict[str, object], line: str) -> None:
    with pytest.raises(ValueError, match=line) as refused:
        train(small_data(), Net(), **settings)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_network_for_other_queries_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot take queries of shape \(1, 4, 4\)"):
        train(small_data(), nn.Linear(7, 3))


def test_bars_are_shown_where_they_are_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    for wanted in (False, True):
        train(small_data(), Net, base_epochs=1, epochs=1, trainer=CPU, show_progress=wanted)
        shown = capsys.readouterr()
        assert ("step/s" in shown.err) == wanted
        assert "Epoch 0" not in shown.err + shown.out
