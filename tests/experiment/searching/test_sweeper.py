"""The sweeper on functions that take no time: what it asks for, keeps, goes on with, and refuses."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from parity_exp.errors import ConfigError, UserError
from parity_exp.experiment.searching.pruning import PrunedError
from parity_exp.experiment.searching.sweeper import OptunaSearch
from parity_exp.files.writing import write_json

optuna = pytest.importorskip("optuna", reason="parity_exp[optuna] is not installed")

Function = Callable[..., Any]
TPE = {"_target_": "optuna.samplers.TPESampler", "seed": 3}
GRID = {"_target_": "optuna.samplers.GridSampler", "_partial_": True, "seed": 0}


class Launcher:
    """Calls a function with the values of each command line, where Hydra's would run a job."""

    def __init__(self, function: Function, folder: Path) -> None:
        self.function, self.folder = function, folder
        self.launched: dict[int, dict[str, Any]] = {}

    def launch(self, lines: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        returned = []
        for number, line in enumerate(lines, initial_job_idx):
            values = {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in line)}
            self.launched[number] = values
            output_dir = self.folder / str(number)
            job = JobReturn(hydra_cfg=OmegaConf.create({"hydra": {"runtime": {"output_dir": str(output_dir)}}}))
            try:
                job.return_value, job.status = self.function(**values), JobStatus.COMPLETED
                if isinstance(job.return_value, dict):
                    output_dir.mkdir(exist_ok=True)
                    write_json(output_dir / "metrics.json", job.return_value)
            except Exception as error:
                job.return_value, job.status = error, JobStatus.FAILED
            returned.append(job)
        return returned


def sweep(folder: Path, function: Function, *words: str, command: str = "simulate", **settings: Any) -> Launcher:
    launcher = Launcher(function, folder)
    sweeper = OptunaSearch(**{"sampler": OmegaConf.create(TPE), "n_trials": 12, **settings})
    sweeper.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}, "job": {"name": command}}})
    sweeper.launcher = launcher  # type: ignore[assignment]
    sweeper.hydra_context = OmegaConf.create({"config_loader": None})  # type: ignore[assignment]
    sweeper.validate_batch_is_legal = lambda _: None  # type: ignore[method-assign]
    sweeper.sweep(list(words))
    return launcher


def results(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    return content


def parabola(x: float, k: int = 2) -> float:
    return (x - 1) ** 2 + k


def test_the_least_value_is_found(tmp_path: Path) -> None:
    launcher = sweep(tmp_path, parabola, "x=interval(-4,4)", "k=choice(2,3)", n_trials=40)
    assert list(launcher.launched) == list(range(40))
    found = results(tmp_path)
    assert found["best_value"] == min(parabola(**values) for values in launcher.launched.values()) < 2.3
    assert found["best_params"]["k"] == 2 and abs(found["best_params"]["x"] - 1) < 0.6


@pytest.mark.parametrize(("command", "best"), [("train", 4), ("evaluate", 4), ("serve", 2), ("simulate", 2)])
def test_each_command_says_what_is_better(tmp_path: Path, command: str, best: int) -> None:
    grid = OmegaConf.create(GRID)
    sweep(tmp_path, lambda k: k, "k=range(2,5)", command=command, sampler=grid)
    assert results(tmp_path) == {"name": "optuna", "best_params": {"k": best}, "best_value": float(best)}


def test_a_direction_of_the_users_counts(tmp_path: Path) -> None:
    sweep(tmp_path, lambda k: k, "k=range(2,5)", sampler=OmegaConf.create(GRID), direction="maximize")
    assert results(tmp_path)["best_value"] == 4


@pytest.mark.parametrize("storage", [None, "kept.journal", "sqlite:///kept.db"])
def test_a_killed_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    ran: list[float] = []

    def killed(x: float) -> float:
        ran.append(x)
        if len(ran) == 6:
            raise KeyboardInterrupt
        return x * x

    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "s", killed, "x=interval(-4,4)", storage=storage)
    again = sweep(tmp_path / "s", lambda x: x * x, "x=interval(-4,4)", storage=storage)
    expected = list(range(6 if storage and "://" in storage else 5, 12))
    assert list(again.launched) == expected, "in numbers that go on"
    if expected[0] == 5:
        assert again.launched[5] == {"x": ran[-1]}, "what was running is run again, with what it had chosen"
    later = [values["x"] for number, values in again.launched.items() if number > 5]
    assert not set(later) & set(ran), "nothing is tried twice"
    assert not sweep(tmp_path / "s", parabola, "x=interval(-4,4)", storage=storage).launched, "all are done"
    assert len(sweep(tmp_path / "s", parabola, "x=interval(-4,4)", storage=storage, n_trials=14).launched) == 2


def test_another_search_is_refused_anothers_study(tmp_path: Path) -> None:
    sweep(tmp_path, parabola, "x=interval(-4,4)", n_trials=2)
    for words, settings, key in (
        (["x=interval(-4,5)"], {}, "searched.x"),
        (["x=interval(-4,4)", "k=3"], {}, "fixed.k"),
        (["x=interval(-4,4)"], {"direction": "maximize"}, "directions"),
    ):
        with pytest.raises(ConfigError, match=key):
            sweep(tmp_path, parabola, *words, **settings)


def test_several_results_have_several_best(tmp_path: Path) -> None:
    directions = ["maximize", "minimize"]
    sweep(tmp_path, lambda k: (k * 10, 7 - abs(k - 3)), "k=range(0,7)", sampler=OmegaConf.create(GRID),
          direction=directions)  # fmt: skip
    solutions = sorted((one["params"]["k"], *one["values"]) for one in results(tmp_path)["solutions"])
    assert solutions == [(6, 60.0, 4.0)]
    other = tmp_path / "other"
    sweep(other, lambda k: (k, k * k), "k=range(0,7)", sampler=OmegaConf.create(GRID), direction=directions)
    assert len(results(other)["solutions"]) == 7


def test_objectives_are_metrics(tmp_path: Path) -> None:
    metrics = {"train/best_val_degraded_accuracy": "maximize", "cost/parity_flops": "minimize"}
    sweep(
        tmp_path,
        lambda k: {"train/best_val_degraded_accuracy": 1 / k, "cost/parity_flops": k, "test/degraded_accuracy": k},
        "k=range(1,5)",
        sampler=OmegaConf.create(GRID),
        objectives=metrics,
        command="train",
    )
    assert [one["params"]["k"] for one in results(tmp_path)["solutions"]] == [1]


@pytest.mark.parametrize("key", ["test/degraded_accuracy", "serve/parity/accuracy", "serve/parity/fraction/own"])
def test_test_images_are_no_objective(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"test images.*choose nothing"):
        sweep(tmp_path / "s", parabola, "x=interval(0,1)", objectives={key: "maximize"})
    assert not (tmp_path / "s").exists()


def test_jobs_side_by_side_have_their_trials_numbers(tmp_path: Path) -> None:
    launcher = sweep(tmp_path, parabola, "x=interval(0,1)", n_jobs=4, n_trials=10)
    assert list(launcher.launched) == list(range(10))
    assert len({values["x"] for values in launcher.launched.values()}) == 10


def test_a_failed_trial_ends_the_sweep_unless_some_may_fail(tmp_path: Path) -> None:
    def fails(k: int) -> float:
        if k == 3:
            raise UserError("k=3: cannot be")
        return float("nan") if k == 4 else k

    settings = {"sampler": OmegaConf.create(GRID)}
    with pytest.raises(UserError):
        sweep(tmp_path / "a", fails, "k=range(2,5)", **settings)
    sweep(tmp_path / "b", fails, "k=range(2,5)", max_failure_rate=1.0, **settings)
    assert results(tmp_path / "b")["best_params"] == {"k": 2}


def test_pruned_trials_are_no_failures(tmp_path: Path) -> None:
    def pruned(k: int) -> float:
        if k > 2:
            raise PrunedError("pruned after epoch 1")
        return k

    settings = {"sampler": OmegaConf.create(GRID), "command": "train"}
    median = OmegaConf.create({"_target_": "optuna.pruners.MedianPruner"})
    sweep(tmp_path, pruned, "k=range(2,5)", pruner=median, **settings)
    assert results(tmp_path)["best_params"] == {"k": 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"direction": "up"}, "hydra.sweeper.direction=up: expected minimize or maximize"),
        ({"direction": ["minimize", "up"]}, "hydra.sweeper.direction=up"),
        ({"objectives": {"cost/x": "least"}}, "hydra.sweeper.objectives: cost/x=least"),
        ({"n_trials": 0}, "hydra.sweeper.n_trials=0"),
        ({"n_jobs": "two"}, "hydra.sweeper.n_jobs=two"),
        ({"max_failure_rate": "none"}, "hydra.sweeper.max_failure_rate=none"),
        ({"pruner": OmegaConf.create({"_target_": "optuna.pruners.MedianPruner"})}, "hydra.sweeper.pruner"),
        ({"sampler": OmegaConf.create({"_target_": "optuna.samplers.Nothing"})}, "hydra.sweeper.sampler"),
        ({"sampler": OmegaConf.create({"_target_": "optuna.samplers.TPESampler", "sed": 1})}, "hydra.sweeper.sampler"),
        ({"sampler": OmegaConf.create({"_target_": "builtins.dict"})}, "expected a sampler"),
        ({"sampler": OmegaConf.create(GRID)}, "x: a grid needs choices or a range"),
        ({"storage": "nosuch://place"}, "hydra.sweeper.storage=nosuch://place"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        sweep(tmp_path / "s", parabola, "x=interval(0,1)", **settings)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_function_of_the_users_suggests_more(tmp_path: Path) -> None:
    launcher = sweep(
        tmp_path, parabola, "x=interval(0,1)", n_trials=5, custom_search_space=f"{__name__}.also_k"
    )  # fmt: skip
    assert all(1 <= values["k"] <= 9 for values in launcher.launched.values())


def also_k(config: Any, trial: Any) -> None:
    trial.suggest_int("k", 1, 9)
