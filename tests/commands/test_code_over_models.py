"""A code over k different models, through every command."""

from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from tests.conftest import Run, Trained, metrics, run_dirs

MEMBERS = ("code=fisher", "k=3", "members.max_epochs=2", "code.samples=40")
BRISK = (
    "load.queries=60", "load.warmup=12", "load.rate_qps=300", "pool.instances=2", "pool.service_time_ms=3",
    "straggler=none", "tracker=none",
)  # fmt: skip


@pytest.mark.slow
def test_models_are_trained_averaged_evaluated_served_and_simulated(run: Run, folder: Path, trained: Trained) -> None:
    made = trained(*MEMBERS)
    config = OmegaConf.load(made / "config.yaml")
    assert (config.r, config.encoder, config.decoder) == (1, None, None)
    search = pd.read_csv(made / "code_search.csv")
    best = search["val_reconstruction_accuracy"].max()
    values = metrics(made)
    assert values["train/best_val_reconstruction_accuracy"] == best
    assert config.code.damping == values["train/damping"]
    found = sorted(path.name for path in (made / "checkpoints").iterdir())
    assert found == ["base-0.ckpt", "base-1.ckpt", "base-2.ckpt", "base.ckpt", "parity-0.ckpt"]
    assert 0 < values["test/start/degraded_accuracy"] <= 1

    assert run("evaluate", f"run={made}", "tracker=none") == 0
    (again,) = run_dirs(folder, "evaluate")
    ours = metrics(again)
    assert {key: one for key, one in ours.items() if key.startswith("test/")}.items() <= values.items()

    assert run("serve", f"run={made}", *BRISK, "redundancy=[parity,equal_resources]") == 0
    (served,) = run_dirs(folder, "serve")
    answers = metrics(served)
    for name in ("parity", "equal_resources"):
        assert answers[f"serve/{name}/lost"] == 0 and answers[f"serve/{name}/queries"] == 60
        assert answers[f"serve/{name}/accuracy"] > 0.2
    assert run("simulate", f"run={made}", "load.queries=500", "redundancy=[parity,hedged]", "tracker=none") == 0
    (simulated,) = run_dirs(folder, "simulate")
    assert metrics(simulated)["simulate/parity/latency_ms/p99"] > 0


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("encoder=concat",), "encoder"),
        (("members.max_epochs=0",), "members.max_epochs=0"),
        (("members.checkpoints=[a.ckpt]",), "members.checkpoints"),
        (("code.damping=-1",), "damping"),
        (("recipe=parm",), "recipe"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    run: Run, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], named: str
) -> None:
    assert run("train", "code=fisher", "tracker=none", *given) == 2
    said = capsys.readouterr().err.strip()
    assert named in said and "\n" not in said
