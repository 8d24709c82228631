"""Codes that train nothing, through every command."""

from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from tests.conftest import QUICK, Run, Trained, metrics, run_dirs

BRISK = (
    "load.queries=60", "load.warmup=10", "load.rate_qps=400", "pool.instances=2", "pool.service_time_ms=3",
    "straggler=none", "tracker=none",
)  # fmt: skip

SPLINE = ("code=nercc", "k=3", "code.stragglers=2", "code.encoder_weight=0.001")


@pytest.mark.slow
def test_a_code_that_trains_nothing_is_measured_evaluated_and_served(run: Run, folder: Path, trained: Trained) -> None:
    made = trained(*SPLINE)
    config = OmegaConf.load(made / "config.yaml")
    assert (config.r, config.encoder, config.objective) == (2, None, None)
    search = pd.read_csv(made / "code_search.csv")
    best = search["val/reconstruction_accuracy"].max()
    chosen = search["decoder_weight"] == config.code.decoder_weight
    assert search["val/reconstruction_accuracy"][chosen].tolist() == [best]
    assert len(set(config.code.last)) == 2 and set(config.code.last) < set(range(5))
    values = metrics(made)
    assert values["train/best_val_reconstruction_accuracy"] == best
    for name in ("available", "no_loss", "degraded", "losses_2/degraded", "first_answers/reconstruction"):
        assert 0 < values[f"test/{name}_accuracy"] <= 1
    assert values["test/no_loss_accuracy"] >= values["test/losses_2/degraded_accuracy"]
    assert sorted(path.name for path in (made / "checkpoints").iterdir()) == ["base.ckpt"]

    assert run("evaluate", f"run={made}", "tracker=none") == 0
    (again,) = run_dirs(folder, "evaluate")
    assert metrics(again).items() <= values.items()

    assert run("serve", f"run={made}", *BRISK, "redundancy=[coded]") == 0
    (served,) = run_dirs(folder, "serve")
    values = metrics(served)
    assert values["serve/coded/lost"] == values["serve/coded/duplicates"] == 0
    assert values["serve/coded/instances"] == 4
    assert values["serve/coded/fraction/reconstructed"] > 0.8
    assert 0 <= values["serve/coded/extra_queries"] <= 0.7 * 70
    assert values["serve/coded/encode_us"] > 0 and values["serve/coded/decode_us"] > 0


@pytest.mark.slow
def test_one_experiment_serves_a_trained_code_and_codes_that_train_nothing(
    run: Run, folder: Path, trained: Trained
) -> None:
    policies = "redundancy=[berrut,nercc]"
    given = [
        "redundancy.nercc.code.stragglers=2",
        "redundancy.nercc.code.encoder_weight=0",
        "redundancy.nercc.equal_resources=false",
    ]
    assert (
        run("serve", f"run={trained()}", *BRISK, policies, *given, "pool.batch_size=2", "pool.batch_window_ms=4") == 0
    )
    (served,) = run_dirs(folder, "serve")
    values = metrics(served)
    config = OmegaConf.load(served / "config.yaml")
    assert config.redundancy.nercc.code.decoder_weight == values["serve/nercc/decoder_weight"]
    assert config.redundancy.berrut.code.last is not None
    assert [values[f"serve/{name}/instances"] for name in ("berrut", "nercc")] == [3, 4]
    for name in ("berrut", "nercc"):
        assert values[f"serve/{name}/lost"] == 0 and values[f"serve/{name}/queries"] == 60
        assert values[f"serve/{name}/fraction/own"] + values[f"serve/{name}/fraction/reconstructed"] == 1


@pytest.mark.slow
def test_a_code_that_looks_for_wrong_answers_is_measured_with_some(trained: Trained) -> None:
    values = metrics(
        trained("code=berrut", "code.byzantine=1", "code.signs=alternating", "evaluation.noise_sigmas=[1000]")
    )
    assert values["test/wrong_1_sigma_1000/located"] > 0.9
    assert values["test/wrong_1_sigma_1000/degraded_accuracy"] > 0.8 * values["test/no_loss_accuracy"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["encoder=concat"], ["encoder=concat", "code=berrut", "leave encoder out"]),
        (["r=2"], ["r=2", "n - k, here 1"]),
        (["parity.trainable=false"], ["parity.trainable", "code=parity"]),
        (["code.workers=2"], ["workers=2", "need 3 or more"]),
        (["code.stragglers=x"], ["code.stragglers=x", "whole number"]),
        (["code.stragglers=0"], ["stragglers=0", "1 or more"]),
        (["code.last=[7]"], ["last=[7]", "0 to 2"]),
    ],
)
def test_what_such_a_code_does_not_have_is_refused(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    assert run("train", *QUICK, "tracker=none", "code=berrut", *arguments) == 2
    error = capfd.readouterr().err
    assert all(word in error for word in words) and "Traceback" not in error
    assert not (folder / "outputs" / "train").exists()


def test_policies_that_the_run_has_no_code_for_are_refused(
    run: Run, folder: Path, trained: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("serve", f"run={trained()}", *BRISK, "redundancy=[coded]") == 2
    assert "redundancy.coded.code=null" in capfd.readouterr().err
    untrained = trained(*SPLINE)
    assert run("serve", f"run={untrained}", *BRISK, "redundancy=[parity]") == 2
    assert "redundancy=parity: it runs the model parity-0" in capfd.readouterr().err
    assert not (folder / "outputs").exists()
