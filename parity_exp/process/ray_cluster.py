"""The Ray cluster that instances, or simulations, run on: one that is there, or one that is started on this machine.

A local cluster stays until this process ends, or until somebody needs more room than it has: its start takes seconds,
and an experiment starts a pool for every policy.
"""

import logging
import math
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from parity_exp.errors import UserError
from parity_exp.process.temporary_folder import place

AUTO, LOCAL = "auto", "local"

OBJECT_STORE_BYTES = 256 * 2**20
"""Shared memory of a local cluster; checkpoints and tasks in hand have to fit."""

LEAST_CPUS = 64
"""CPUs that a local cluster is said to have at least, so that it rarely has to start again for a larger pool."""

LONGEST_PLACE = 30
"""How long the path of a folder may be so that the paths of Ray's sockets in it are not too long."""

ANSWER_S = 5.0
"""How long a cluster may take to accept a connection."""

_started: list[float] = []
"""CPUs of the cluster that this process has started; empty: it has started none."""


def join(address: str, cpus: float, runtime_env: Mapping[str, Any] | None, key: str) -> None:
    """Be connected to a cluster when this returns.

    Args:
        address: ``auto`` for the one that ``RAY_ADDRESS`` names, or else one that runs here, or else a local one;
            ``local`` for a local one; or where one is.
        cpus: that are needed. A local cluster is said to have as many, whatever the machine has: an instance
            that sleeps needs none.
        runtime_env: what Ray is to prepare on the nodes.
        key: under which the address was given, for messages.

    Raises:
        UserError: there is no cluster at this address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    if _started and (not ray.is_initialized() or _started[0] < cpus):
        leave()
    if ray.is_initialized():
        return  # by us, or by whoever uses this as a library
    if len(tempfile.gettempdir()) > LONGEST_PLACE:
        os.environ.setdefault("RAY_TMPDIR", str(place(LONGEST_PLACE)))
    found = _find(address, key)
    options: dict[str, Any] = {"address": found or LOCAL}
    if found is None:
        options |= {
            "num_cpus": max(math.ceil(cpus), LEAST_CPUS),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            # No workers that nobody has asked for; and instances that wait for the processor no longer than others.
            "_system_config": {"prestart_worker_first_driver": False, "worker_niceness": 0},
        }
    sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**options, log_to_driver=False, configure_logging=False, runtime_env=dict(runtime_env or {}))
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"{key}={address}: {' '.join(str(error).split())}") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, sigterm)  # Ray's own would end this process without a word
    if found is None:
        _started.append(options["num_cpus"])
    _no_reports()


def is_ours() -> bool:
    """Whether the cluster was started by this process, on this machine: it has what it has, and gets no more."""
    return bool(_started)


def room_on_gpus(gpus: Iterable[float], each: float) -> int:
    """How many instances nodes have room for, which Ray gives GPUs to one by one.

    Args:
        gpus: that each node has.
        each: that an instance needs: a fraction of one, or a whole number.
    """
    if each < 1:
        return sum(int(count) for count in gpus) * int(1 / each + 1e-9)
    return sum(int(count / each) for count in gpus)


def leave() -> None:
    """Leave the cluster; one that was started here ends."""
    import ray

    _started.clear()
    ray.shutdown()


def _find(address: str, key: str) -> str | None:
    """Where the cluster is, ``host:port``; None: a local one is to be started.

    Asked here since Ray tries for minutes to reach one that is not there, also where a killed one has left its address.
    """
    from ray._private.services import canonicalize_bootstrap_address

    wanted = os.environ.get("RAY_ADDRESS") or address if address == AUTO else address
    try:
        found: str | None = canonicalize_bootstrap_address(wanted)
    except ConnectionError:
        return None  # auto, and there is none
    except (ValueError, OSError) as error:
        raise UserError(f"{key}={wanted}: expected auto, local, or host:port ({error})") from None
    if found is None:
        return None
    host, _, port = found.rpartition(":")
    try:
        with closing(socket.create_connection((host.strip("[]"), int(port)), ANSWER_S)):
            return found
    except OSError as error:
        if wanted == AUTO:
            return None
        raise UserError(f"{key}={wanted}: no Ray cluster answers there ({error})") from None


def _no_reports() -> None:
    """Ray prints pages about every process that ends; here processes are killed on purpose, and pools say so."""
    from ray._private import worker

    worker._worker_logs_enabled = False
