"""Instances on a GPU: passes that are captured and ones that cannot be, memory they share, and what becomes of them."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch

from parity_exp.disturbances.timeline import Timeline
from parity_exp.models import ResNet
from parity_exp.serving.passes import Acceleration, Passes
from parity_exp.serving.passes.running import captured_sizes
from parity_exp.serving.pool import Down, Event, Finished, ServedModel, Up
from parity_exp.serving.pools import LocalPool
from tests.serving.pool_driver import answer, gather, has
from tests.serving.small_models import LARGE, OBEDIENT, SHAPE, mlp, scale

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")]

Start = Callable[..., LocalPool]


def resnet() -> torch.nn.Module:
    torch.manual_seed(0)
    return ResNet(SHAPE, 10)


RESNET = ServedModel(resnet, SHAPE, (10,))
MLP = ServedModel(mlp, SHAPE, (10,))
DOUBLED = ServedModel(partial(scale, 2.0), LARGE, LARGE)


@pytest.fixture
def start() -> Iterator[Start]:
    pools: list[LocalPool] = []

    def start(models: dict[str, ServedModel], instances: int = 1, batch_size: int = 1, **options: Any) -> LocalPool:
        pools.append(pool := LocalPool(devices="cuda:0", **options))
        pool.start(models, [list(models)] * instances, batch_size, [Timeline()] * instances)
        return pool

    yield start
    for pool in pools:
        pool.close()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_captured_passes_give_for_every_size_of_a_batch_what_the_network_gives(start: Start, precision: str) -> None:
    pool = start({"base": RESNET, "parity": MLP}, batch_size=20, precision=precision, cuda_graphs=True)
    queries = torch.rand(20, *SHAPE)
    for name, network in (("base", resnet()), ("parity", mlp())):
        with torch.inference_mode():
            expected = network.eval()(queries)
        for count in (1, 2, 7, 8, 9, 17, 19, 20):
            outputs = answer(pool, 0, name, queries[:count])
            assert torch.allclose(outputs, expected[:count], atol=0.05 * float(expected.abs().max()))


def test_a_model_that_cannot_be_captured_is_said_once_and_served_and_others_are_still_captured(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        pool = start({"obedient": OBEDIENT, "base": RESNET}, instances=2, batch_size=3)
    said = [record.message for record in caplog.records if "not captured" in record.message]
    assert len(said) == 1 and "model obedient" in said[0] and "\n" not in said[0]
    for instance in (0, 1):
        assert answer(pool, instance, "obedient", torch.full((2, 2), 0.5)).tolist() == [[0.5], [0.5]]
        assert answer(pool, instance, "base", torch.rand(3, *SHAPE)).isfinite().all()


def test_large_tensors_come_and_go_through_memory_that_is_shared(start: Start) -> None:
    pool = start({"model": DOUBLED}, batch_size=4, prefetch=3)
    for round_ in range(3):
        queries = [torch.rand(count, *LARGE) for count in (1, 3, 4)]
        for task, some in enumerate(queries):
            assert pool.send(0, 10 * round_ + task, "model", some)
        events: list[Event] = gather(pool, has(Finished, 3))
        for some, event in zip(queries, events, strict=True):
            assert isinstance(event, Finished) and torch.equal(event.outputs, some * 2)


def test_instances_go_from_one_policy_to_the_next(start: Start) -> None:
    pool = start({"base": RESNET}, instances=3, batch_size=2)
    pids = pool.pids
    models = {"base": RESNET, "parity": MLP, "large": DOUBLED}
    for held, batch_size in (([["base", "parity"]] * 3, 2), ([["large"], ["base"]], 4), ([["parity"]] * 3, 1)):
        wanted = {name: models[name] for names in held for name in names}
        pool.start(wanted, held, batch_size, [Timeline()] * len(held))
        assert pool.pids[:2] == pids[:2]
        for instance, names in enumerate(held):
            for name in names:
                queries = torch.rand(batch_size, *models[name].query_shape)
                with torch.inference_mode():
                    expected = models[name].network().eval()(queries)
                outputs = answer(pool, instance, name, queries)
                assert torch.allclose(outputs, expected, atol=0.02 * float(expected.abs().max()))


def test_a_context_that_is_lost_is_an_instance_that_is_lost_with_the_reason(start: Start) -> None:
    pool = start({"model": OBEDIENT})
    assert pool.send(0, 1, "model", torch.tensor([[6.0, 0.0]]))
    down, up = gather(pool, has(Up))
    assert isinstance(down, Down) and "cuda:0 is lost" in down.reason and "\n" not in down.reason
    assert up == Up(0)
    assert answer(pool, 0, "model", torch.tensor([[0.5, 0.0]])).item() == 0.5


def test_after_a_capture_that_failed_the_same_process_captures_and_allocates_as_before() -> None:
    from parity_exp.serving.passes.cuda import CudaHardware

    before = torch.cuda.current_stream()
    try:
        hardware = CudaHardware(torch.device("cuda:0"))
        hardware.prepare(Acceleration())
        failed = Passes("bad", OBEDIENT.network().eval(), (2,), (1,), 2, hardware, Acceleration())
        assert failed.note is not None and "model bad" in failed.note
        good = Passes("good", mlp().eval(), SHAPE, (10,), 9, hardware, Acceleration())
        assert good.note is None and len(captured_sizes(9)) == 9
        torch.cuda.empty_cache()
        queries = torch.rand(9, *SHAPE)
        with torch.inference_mode():
            assert torch.allclose(good(queries).clone(), mlp().eval()(queries), atol=1e-3)
            assert failed(torch.full((2, 2), 0.5)).tolist() == [[0.5], [0.5]]
        memory = torch.zeros(1_000_000)
        undo = hardware.pin(memory)
        undo()
    finally:
        torch.cuda.set_stream(before)
