"""Instances that can be told to stop at a task."""

import sys
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from parity_exp.disturbances.timeline import Timeline
from parity_exp.serving.pool import Finished, ServedModel, Stopped
from parity_exp.serving.pools import LocalPool
from parity_exp.serving.stop_orders import ORDER, StopError, StopOrders, orders_channel
from tests.serving.pool_driver import gather, has
from tests.serving.small_models import SHAPE, scale

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="instances as processes need Linux")


def test_an_order_ends_a_sleep() -> None:
    frontend, instance = orders_channel()
    orders = StopOrders(instance)
    threading.Timer(0.05, lambda: frontend.send(ORDER.pack(7))).start()
    began_s = time.monotonic()
    with pytest.raises(StopError):
        orders.sleep_until(began_s + 20, 7)
    assert time.monotonic() - began_s < 10
    frontend.close()


def test_orders_for_other_tasks_do_not() -> None:
    frontend, instance = orders_channel()
    orders = StopOrders(instance)
    frontend.send(ORDER.pack(6))  # it came too late
    frontend.send(ORDER.pack(8))  # that one is still to come
    orders.check(7)
    orders.sleep_until(time.monotonic() + 0.02, 7)
    with pytest.raises(StopError):
        orders.check(8)
    frontend.close()
    orders.check(9)
    orders.sleep_until(time.monotonic() + 0.02, 9)


def test_without_a_channel_it_sleeps() -> None:
    until_s = time.monotonic() + 0.02
    StopOrders(None).sleep_until(until_s, 3)
    assert time.monotonic() >= until_s


@pytest.fixture
def pool() -> Iterator[LocalPool]:
    pool = LocalPool(devices="cpu", service_time_ms=20_000, prefetch=2, interrupts=True)
    pool.start({"model": ServedModel(partial(scale, 2.0), SHAPE, SHAPE)}, [["model"]], 1, [Timeline()])
    yield pool
    pool.close()


@pytest.mark.slow
def test_an_instance_stops_while_it_sleeps_and_before_it_begins(pool: LocalPool) -> None:
    assert pool.send(0, 4, "model", torch.ones(1, *SHAPE))
    assert pool.send(0, 5, "model", torch.ones(1, *SHAPE))
    began_s = time.monotonic()
    pool.interrupt(0, 5)
    pool.interrupt(0, 4)
    events = gather(pool, has(Stopped, 2))
    assert [(type(event), event.task) for event in events if isinstance(event, Stopped | Finished)] == [
        (Stopped, 4),
        (Stopped, 5),
    ]
    assert time.monotonic() - began_s < 15
