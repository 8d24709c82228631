"""Results that are there already are another job's until their identity says otherwise."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.conftest import QUICK, Run, Trained, metrics, run_dirs

SHORT = (*QUICK, "trainer.max_epochs=1", "base.max_epochs=1", "tracker=none")
SIMULATION = ("load.queries=200", "load.warmup=20", "pool.service_time_ms=10", "tracker=none")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(run: Run, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run what has to be refused; return its one line."""
    capsys.readouterr()
    assert run(*arguments) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "Traceback" not in line
    return line


# ---- a job's folder


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        (["k=3"], "k (2 there, 3 here)"),
        (["seed=1"], "seed (0 there, 1 here)"),
        (["trainer.max_epochs=3"], "trainer.max_epochs (2 there, 3 here)"),
        (["encoder=concat"], "encoder._target_"),
        (["dataset.limit=300"], "dataset.limit (400 there, 300 here)"),
        (["+trainer.limit_train_batches=1"], "trainer.limit_train_batches (absent there, 1 here)"),
        (["evaluation.seed=4"], "evaluation.seed"),
    ],
)
def test_another_training_is_refused_a_runs_folder_and_touches_nothing(
    run: Run, folder: Path, copied: Path, capsys: pytest.CaptureFixture[str], changed: list[str], key: str
) -> None:
    before = content(copied)
    line = refused(run, capsys, "train", *QUICK, "tracker=none", f"hydra.run.dir={copied}", *changed)
    assert key in line and str(copied) in line and f"resume={copied}" in line
    assert content(copied) == before


def test_other_commands_are_refused_a_runs_folder(
    run: Run, folder: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(copied)
    for command in ("evaluate", "serve", "simulate", "report", "run"):
        given = [] if command in ("simulate", "report", "run") else [f"run={copied}"]
        line = refused(run, capsys, command, *given, f"hydra.run.dir={copied}")
        assert "another run" in line and f"command (train there, {command} here)" in line
    assert content(copied) == before


@pytest.mark.slow
def test_the_very_same_job_goes_on_in_its_folder(run: Run, folder: Path) -> None:
    same = ("train", *SHORT, "hydra.run.dir=d")
    assert run(*same) == 0
    first = metrics(folder / "d")
    (folder / "d/metrics.json").unlink()
    # What shows, where things are put, and who tracks them is no part of it.
    assert run(*same, "tracker=csv", "outputs=elsewhere", "trainer.enable_progress_bar=false") == 0
    again = metrics(folder / "d")
    assert {key: again[key] for key in first if key.startswith("test/")} == {
        key: value for key, value in first.items() if key.startswith("test/")
    }


def test_files_of_a_run_without_its_config_are_nobodys(
    run: Run, folder: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "identity.json").unlink()
    line = refused(run, capsys, "train", *QUICK, f"hydra.run.dir={copied}")
    assert "does not say what it was made from" in line and "hydra.run.dir" in line
    (copied / "config.yaml").unlink()
    assert "checkpoints" in refused(run, capsys, "train", *QUICK, f"hydra.run.dir={copied}")


def test_a_folder_with_a_persons_files_can_be_used(run: Run, folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d" / "thesis.tex").write_text("work")
    assert run("simulate", *SIMULATION, "hydra.run.dir=d") == 0
    assert (folder / "d" / "thesis.tex").read_text() == "work"


def test_a_simulation_is_not_written_over_by_another(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("simulate", *SIMULATION, "hydra.run.dir=d", "redundancy=[parity,none]") == 0
    before = content(folder / "d")
    line = refused(run, capsys, "simulate", *SIMULATION, "hydra.run.dir=d", "redundancy=[parity]")
    assert "redundancy.none" in line
    assert content(folder / "d") == before
    assert run("simulate", *SIMULATION, "hydra.run.dir=d", "redundancy=[parity,none]", "simulate.processes=1") == 0


def test_files_that_a_config_names_count_by_their_content(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = folder / "times.csv"
    times.write_text("10\n20\n30\n")
    trace = [
        "distribution@simulate.service_time=empirical", "simulate.service_time.path=times.csv", "hydra.run.dir=d",
        "redundancy=[none]",
    ]  # fmt: skip
    assert run("simulate", *SIMULATION, *trace) == 0
    times.write_text("10\n20\n90\n")
    assert "simulate.service_time.path (content)" in refused(run, capsys, "simulate", *SIMULATION, *trace)


@pytest.mark.slow
def test_another_base_checkpoint_under_the_same_name_is_noticed(
    run: Run, folder: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(trained() / "checkpoints" / "base.ckpt", "base.pt")
    same = ("train", *SHORT, "base.checkpoint=base.pt", "hydra.run.dir=d")
    assert run(*same) == 0
    weights = torch.load("base.pt")["state_dict"]
    torch.save({key: value + 0.1 for key, value in weights.items()}, "base.pt")
    assert "base.checkpoint (content)" in refused(run, capsys, *same)
    # The run has its own copy, which a resumed run goes on with.
    assert run("train", "resume=d", "trainer.max_epochs=2") == 0


@pytest.mark.slow
def test_another_run_under_the_same_name_is_noticed_and_an_unfinished_one_told_of(
    run: Run, folder: Path, copied: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ("evaluate", f"run={copied}", "tracker=none", "hydra.run.dir=e")
    assert run(*same) == 0
    shutil.copyfile(
        trained("k=2", "seed=8") / "checkpoints" / "parity-0.ckpt", copied / "checkpoints" / "parity-0.ckpt"
    )
    assert "run (content)" in refused(run, capsys, *same)
    (copied / "metrics.json").unlink()
    assert run("evaluate", f"run={copied}", "tracker=none") == 0
    assert "its training has not ended" in capsys.readouterr().out


# ---- resume


def test_resume_is_refused_where_training_would_go_on_in_another_way(
    run: Run, folder: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for changed, key in (
        ("trainer.gradient_clip_val=1", "optimisation.gradient_clip_val"),
        ("optimisation.accumulate_grad_batches=2", "optimisation.accumulate_grad_batches"),
        ("+trainer.limit_train_batches=1", "trainer.limit_train_batches"),
        ("+trainer.fast_dev_run=true", "trainer.fast_dev_run"),
    ):
        line = refused(run, capsys, "train", f"resume={copied}", changed)
        assert key in line and "another way" in line
    line = refused(run, capsys, "train", f"resume={copied}", "trainer.max_epochs=1")
    assert "trainer.max_epochs=1" in line and "2 epochs are trained already" in line


def test_resume_mends_what_has_gone_and_keeps_old_runs(run: Run, folder: Path, copied: Path) -> None:
    before = metrics(copied)
    for name in ("checkpoints/parity-0.ckpt", "checkpoints/encoder.ckpt", "history.csv", "identity.json"):
        (copied / name).unlink()
    assert run("train", f"resume={copied}", "tracker=none") == 0
    after = metrics(copied)
    assert {key: value for key, value in after.items() if key.startswith("test/")} == {
        key: value for key, value in before.items() if key.startswith("test/")
    }
    assert pd.read_csv(copied / "history.csv")["epoch"].tolist() == [1, 2]


@pytest.mark.slow
def test_a_state_on_another_base_model_is_refused(
    run: Run, folder: Path, copied: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(trained("base.seed=5") / "checkpoints" / "base.ckpt", copied / "checkpoints" / "base.ckpt")
    line = refused(run, capsys, "train", f"resume={copied}", "trainer.max_epochs=3")
    assert "last.ckpt" in line and "the base model" in line


@pytest.mark.slow
def test_what_no_training_began_is_not_resumed(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("simulate", *SIMULATION, "redundancy=[none]", "hydra.run.dir=d") == 0
    assert "`simulate` has written it" in refused(run, capsys, "train", "resume=d")
    (folder / "d" / "identity.json").unlink()
    assert "`simulate` has written it" in refused(run, capsys, "train", "resume=d")


# ---- sweeps


@pytest.mark.slow
def test_another_sweep_is_refused_a_sweeps_folder(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ("simulate", "-m", "hydra.sweep.dir=s", *SIMULATION, "redundancy=none")
    assert run(*sweep, "seed=0,1") == 0
    for other in (["seed=0"], ["seed=0,1", "load.rate_qps=50"], ["seed=0,1", "queue=round_robin"]):
        before = content(folder / "s")
        assert "hydra.sweep.dir" in refused(run, capsys, *sweep, *other)
        assert content(folder / "s") == before
    assert run(*sweep, "seed=0,1", "tracker=csv") == 0, "the same sweep again"
    (folder / "s" / "multirun.yaml").unlink()
    assert "multirun.yaml" in refused(run, capsys, *sweep, "seed=0,1")


# ---- base models


def cached(folder: Path) -> list[Path]:
    return sorted((folder / "outputs" / "base").iterdir())


@pytest.mark.parametrize(
    "stunted",
    [
        ["+trainer.fast_dev_run=true"],
        ["+trainer.max_time=00:00:00:00"],
    ],
)
@pytest.mark.slow
def test_a_base_model_whose_training_was_cut_short_is_not_kept(run: Run, folder: Path, stunted: Sequence[str]) -> None:
    run("train", *QUICK, "tracker=none", *stunted)
    assert not list(folder.glob("outputs/base/*/fitted.json"))
    stunted_folders = cached(folder)
    assert run("train", *QUICK, "tracker=none") == 0
    (full,) = set(cached(folder)) - set(stunted_folders)
    assert (full / "fitted.json").is_file()
    assert len(pd.read_csv(full / "history.csv")) == 2


@pytest.mark.slow
def test_a_users_network_whose_code_has_changed_is_trained_anew(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "import torch\n"
        "class Net(torch.nn.Sequential):\n"
        "    def __init__(self, input_shape, outputs):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(256, outputs))\n"
    )
    (folder / "conf" / "architecture").mkdir(parents=True)
    (folder / "conf" / "architecture" / "net.yaml").write_text("_target_: my_nets.Net\n")
    monkeypatch.syspath_prepend(folder)
    given = ("train", *SHORT, "hydra.searchpath=[file://conf]", "architecture=net", "recipe=parm")
    given = (*given, "initialisation=default")
    for text in (source, source, source + "    def forward(self, x):\n        return super().forward(x) * 0.5\n"):
        (folder / "my_nets.py").write_text(text)
        assert run(*given) == 0
    assert len(cached(folder)) == 2


def spoil(path: Path) -> None:
    path.write_bytes(b"junk")


@pytest.mark.parametrize("damage", [Path.unlink, spoil])
@pytest.mark.parametrize("name", ["base.ckpt", "fitted.json", "history.csv", "identity.json"])
def test_a_cache_without_its_product_is_made_anew(
    run: Run, folder: Path, trained: Trained, damage: Callable[[Path], object], name: str
) -> None:
    given = ("code=berrut", "dataset.limit=200")
    shutil.copytree(trained(*given).parents[2], folder / "outputs", dirs_exist_ok=True)
    (base,) = cached(folder)
    damage(base / name)
    (base / "last.ckpt").write_bytes(b"junk")
    assert run("train", *QUICK, "tracker=none", *given, "k=4") == 0
    assert cached(folder) == [base]
    assert {"base.ckpt", "fitted.json", "history.csv", "identity.json"} <= {path.name for path in base.iterdir()}
    first, second = run_dirs(folder)
    assert metrics(first)["test/available_accuracy"] == metrics(second)["test/available_accuracy"]


@pytest.mark.slow
def test_epochs_that_are_never_validated_are_refused_before_training(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    never = ("trainer.check_val_every_n_epoch=5", "trainer.max_epochs=5")
    line = refused(run, capsys, "train", *QUICK, *never, "base.max_epochs=1")
    assert "trainer.check_val_every_n_epoch=5" in line and "base.max_epochs=1" in line
    line = refused(run, capsys, "train", *QUICK, "trainer.check_val_every_n_epoch=5", "base.max_epochs=5")
    assert "trainer.max_epochs=2" in line
    line = refused(run, capsys, "train", *QUICK, "+trainer.limit_val_batches=0", "tracker=none")
    assert "was validated" in line and "trainer.limit_val_batches" in line
    assert run("train", *QUICK, "trainer.check_val_every_n_epoch=2", "tracker=none") == 0
