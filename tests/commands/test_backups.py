"""Small models that stand in, from the command line: trained, measured, served and simulated."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig

from parity_exp.coding.grid import Grid
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.job import resolved
from parity_exp.experiment.simulation import simulation_arguments
from parity_exp.models.operations import operations
from parity_exp.simulation.session import simulate
from tests.commands.test_serve import BRISK
from tests.conftest import QUICK, Run, metrics, run_dirs
from tests.data.texts import write_table


def compose(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return hydra_compose("config", list(overrides))


SMALL = ("architecture=lenet", "k=4", "tracker=none")


@pytest.mark.slow
def test_backups_are_trained_measured_and_served(run: Run, folder: Path) -> None:
    both = "evaluation.backups=[backup,multiplexed_backup]"
    small = ("backup.share=0.25", "backup.max_epochs=1", "multiplexed_backup.max_epochs=1")
    assert run("train", *QUICK, *SMALL, both, *small, "trainer.max_epochs=1") == 0
    (trained,) = run_dirs(folder, "train")
    values = metrics(trained)
    for name in ("backup", "multiplexed_backup"):
        assert 0 <= values[f"test/{name}/degraded_accuracy"] <= 1
        assert values[f"cost/{name}_flops_fraction"] < 0.5
        assert (trained / "checkpoints" / f"{name}.ckpt").is_file()

    assert run("evaluate", f"run={trained}", "tracker=none") == 0
    again = metrics(run_dirs(folder, "evaluate")[0])
    measured = [key for key in values if key.startswith("test/") and "backup" in key]
    assert measured and [again[key] for key in measured] == pytest.approx([values[key] for key in measured])

    policies = ("redundancy=[approximate_backup,multiplexed_backup]", "redundancy.multiplexed_backup.delay_ms=0")
    assert run("serve", f"run={trained}", "tracker=none", *BRISK, *policies, "load.queries=200") == 0
    (served,) = run_dirs(folder, "serve")
    assert not (served / "checkpoints").exists()  # the run's own are served
    values = metrics(served)
    assert values["serve/multiplexed_backup/fraction/backup"] > 0 and values["serve/multiplexed_backup/lost"] == 0
    assert values["test/multiplexed_backup/degraded_accuracy"] == again["test/multiplexed_backup/degraded_accuracy"]
    tasks = pd.read_parquet(served / "tasks-multiplexed_backup.parquet")
    assert set(tasks["model"]) == {"base", "multiplexed_backup"}


@pytest.mark.slow
def test_texts_have_a_multiplexed_backup_as_well(run: Run, folder: Path) -> None:
    table = write_table(folder / "mails.csv", 120)
    small = ("architecture=text_transformer", "architecture.width=16", "architecture.depth=1", "dataset.max_length=12")
    of_texts = ("dataset=csv", f"dataset.path={table}", *small, "encoder=concat", "k=3", "tracker=none")
    epochs = ("base.max_epochs=2", "trainer.max_epochs=1", "multiplexed_backup.max_epochs=1", "trainer.accelerator=cpu")
    assert run("train", *of_texts, *epochs, "evaluation.backups=[multiplexed_backup]") == 0
    (trained,) = run_dirs(folder, "train")
    values = metrics(trained)
    assert 0 <= values["test/multiplexed_backup/degraded_accuracy"] <= 1
    assert values["cost/multiplexed_backup_flops_fraction"] < 0.5

    patient = "pool.start_timeout_s=600"
    policies = ("redundancy=[multiplexed_backup]", "redundancy.multiplexed_backup.delay_ms=0", patient)
    assert run("serve", f"run={trained}", "tracker=none", *BRISK, *policies, "load.queries=200") == 0
    (served,) = run_dirs(folder, "serve")
    values = metrics(served)
    assert values["serve/multiplexed_backup/fraction/backup"] > 0 and values["serve/multiplexed_backup/lost"] == 0


def test_a_multiplexed_backup_costs_a_quarter_of_a_task_a_query_in_simulated_time() -> None:
    config = resolved(
        compose(
            "k=4", "pool.instances=12", "straggler=none", "load.queries=4000", "load.warmup=0", "load.utilisation=0.5",
            "redundancy=[approximate_backup,multiplexed_backup]", "redundancy.multiplexed_backup.delay_ms=0",
            "redundancy.approximate_backup.delay_ms=0", "simulate.backup_ratio=0.25",
        )
    )  # fmt: skip
    values = simulate(**simulation_arguments(config), show_progress=False).metrics
    assert values["simulate/multiplexed_backup/tasks_per_query"] == pytest.approx(1.25, abs=0.02)
    assert values["simulate/multiplexed_backup/extra_instances"] == 3
    assert 1.5 < values["simulate/approximate_backup/tasks_per_query"] <= 2
    assert values["simulate/multiplexed_backup/lost"] == 0


def test_a_share_narrows_the_base_models_architecture_where_the_backups_own_has_no_widths() -> None:
    experiment = Experiment(resolved(compose("architecture=lenet", "backup.share=0.25")))
    node = experiment.architecture("backup")
    assert node._target_ == "parity_exp.models.LeNet" and node.hidden < 1000
    shape = experiment.splits.query_shape
    whole = operations(experiment.new_base_network(), shape)
    assert 0.15 < operations(experiment.new_base_network("backup"), shape) / whole <= 0.25
    other = Experiment(
        resolved(compose("architecture@backup.architecture=mlp", "backup.share=0.01", "architecture=lenet"))
    )
    assert other.architecture("backup")._target_ == "parity_exp.models.MLP"


def test_the_multiplexed_network_is_the_same_for_the_same_seed_and_of_the_groups_shape() -> None:
    experiment = Experiment(resolved(compose("architecture=lenet", "k=4")))
    one, other = (experiment.new_base_network("multiplexed_backup") for _ in range(2))
    assert one.encoder.grid == Grid(4, 2, 2, (8, 8))  # type: ignore[union-attr]
    queries = torch.randn(5, *experiment.splits.query_shape)
    with torch.inference_mode():
        assert torch.equal(one.eval()(queries), other.eval()(queries))
    assert one(queries).shape == (5, 10)
