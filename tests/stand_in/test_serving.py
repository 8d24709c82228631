"""Instances on two devices: where they are, what they answer, and what runs beside them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from parity_exp.checks import SettingError
from parity_exp.devices.backends import MODULES, load_backends
from parity_exp.disturbances.helpers import Burner, TenantService
from parity_exp.disturbances.timeline import Timeline
from parity_exp.errors import UserError
from parity_exp.serving.pool import ServedModel
from parity_exp.serving.pools import LocalPool
from parity_exp.serving.pools.devices import place
from tests.conftest import Run, metrics, run_dirs
from tests.serving.pool_driver import answer
from tests.serving.small_models import SHAPE, mlp
from tests.stand_in.whereabouts import Whereabouts

TWO = ["pretend:0", "pretend:1"]
BRISK = (
    "load.queries=60", "load.warmup=10", "load.rate_qps=300", "pool.instances=2", "pool.service_time_ms=3",
    "straggler=none", "tracker=none", "pool.devices=[pretend:0,pretend:1]",
)  # fmt: skip


@pytest.fixture
def pool() -> Iterator[LocalPool]:
    """Three instances on two devices, each with a perceptron and a model that says where it is."""
    pool = LocalPool(devices=TWO)
    models = {"mlp": ServedModel(mlp, SHAPE, (10,)), "whereabouts": ServedModel(Whereabouts, SHAPE, (2,))}
    try:
        pool.start(models, [list(models)] * 3, 4, [Timeline()] * 3)
        yield pool
    finally:
        pool.close()


def test_instances_are_on_their_devices_and_answer_as_on_the_cpu(pool: LocalPool) -> None:
    assert [device for device, _ in pool.places()] == ["pretend:0", "pretend:1", "pretend:0"]
    queries = torch.rand(4, *SHAPE)
    with torch.inference_mode():
        expected = mlp()(queries)
    for instance in range(3):
        for count in (1, 3, 4):
            outputs = answer(pool, instance, "mlp", queries[:count])
            assert outputs.device.type == "cpu" and torch.allclose(outputs, expected[:count], atol=1e-5)
        found = answer(pool, instance, "whereabouts", queries[:1])
        assert found.tolist() == [[1.0, instance % 2]]


@pytest.mark.parametrize(
    ("devices", "instances", "expected"),
    [
        (TWO, 3, ["pretend:0", "pretend:1", "pretend:0"]),
        ("pretend:1", 2, ["pretend:1"] * 2),
        ("pretend", 1, ["pretend:0"]),
        (["cpu", "pretend:1"], 2, ["cpu", "pretend:1"]),
        ("auto", 3, ["pretend:0", "pretend:1", "pretend:0"]),
    ],
)
def test_devices_are_given_out_in_turn(devices: Any, instances: int, expected: list[str]) -> None:
    assert place(devices, instances) == expected


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingError, match="there is no pretend:2 here, pretend:0 to pretend:1 are visible"):
        place(["pretend:0", "pretend:2"], 2)


def test_without_devices_of_a_kind_there_is_none_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_DEVICES", "0")
    assert "pretend:0" not in place("auto", 1)
    with pytest.raises(SettingError, match="no device of this kind is visible"):
        place("pretend", 1)


def test_a_backend_that_cannot_be_imported_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODULES, "json, no_such_backend")
    with pytest.raises(
        UserError, match=f"{MODULES}=no_such_backend: cannot be imported .ModuleNotFoundError: "
    ) as error:
        load_backends()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("helper", [Burner(size=8), TenantService(width=4, layers=1)], ids=["burner", "tenant"])
def test_what_disturbs_an_instance_computes_on_its_device(helper: Burner | TenantService) -> None:
    work = helper.prepare("pretend:1", 0)
    work.begin(0.0)
    assert work.piece(0.0) >= 0.0
    held = [value for value in vars(work).values() if isinstance(value, torch.Tensor | torch.nn.Module)]
    tensors = [
        tensor for value in held for tensor in ([value] if isinstance(value, torch.Tensor) else value.parameters())
    ]
    assert any(tensor.device == torch.device("pretend:1") for tensor in tensors)


def trained(run: Run, folder: Path, *overrides: str) -> Path:
    brief = ("tracker=none", "trainer.accelerator=pretend", "trainer.max_epochs=1", "base.max_epochs=1")
    assert run("train", *brief, "dataset.limit=80", "architecture.hidden=[8]", *overrides) == 0
    (run_dir,) = run_dirs(folder)
    return run_dir


def check_served(folder: Path, *policies: str) -> None:
    (served,) = run_dirs(folder, "serve")
    values = metrics(served)
    for policy in policies:
        assert values[f"serve/{policy}/lost"] == 0 and values[f"serve/{policy}/fraction/error"] == 0
        assert len(pd.read_parquet(served / f"queries-{policy}.parquet")) == 60
        assert 0 <= values[f"serve/{policy}/accuracy"] <= 1


@pytest.mark.slow
def test_a_code_is_served_from_two_devices_with_backup_and_checks(run: Run, folder: Path) -> None:
    run_dir = trained(run, folder, "r=2", "k=3", "recipe=best")
    policies = ("parity", "approximate_backup", "voted_parity", "berrut")
    backup = ("backup.max_epochs=1", "redundancy.berrut.code.stragglers=1")
    assert run("serve", f"run={run_dir}", *BRISK, f"redundancy=[{','.join(policies)}]", *backup) == 0
    check_served(folder, *policies)


@pytest.mark.slow
def test_a_code_without_training_is_served_from_two_devices(run: Run, folder: Path) -> None:
    run_dir = trained(
        run, folder, "code=nercc", "code.encoder_weight=0", "code.decoder_weight=0.001", "code.byzantine=1"
    )
    disturbed = ("straggler=[slowdown,corrupt]", "pool.batch_size=2", "redundancy=[coded]")
    assert run("serve", f"run={run_dir}", *BRISK, *disturbed) == 0
    check_served(folder, "coded")


def test_the_frontend_takes_no_part(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What frontends do is done on the CPU, though a device is there."""
    pool = LocalPool(devices=TWO)
    backend = torch.get_device_module("pretend")
    monkeypatch.setattr(backend, "owner", None)
    try:
        pool.start({"mlp": ServedModel(mlp, SHAPE, (10,))}, [["mlp"]], 1, [Timeline()])
        answer(pool, 0, "mlp", torch.rand(1, *SHAPE))
        assert not backend.is_initialized()
    finally:
        pool.close()
        monkeypatch.setattr(backend, "owner", os.getpid())
