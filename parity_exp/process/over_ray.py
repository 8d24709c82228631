"""Jobs on a Ray cluster under one progress bar; those that are through when Ctrl-C comes are kept."""

import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, TypeVar

from parity_exp.errors import UserError
from parity_exp.process import ray_cluster
from parity_exp.process.parallel import Interrupted, Tell

TELL_S = 0.25

Key = TypeVar("Key")


def over_ray(orders: Mapping[Key, bytes], address: str, key: str, queries: int, tell: Tell) -> dict[Key, Any]:
    """Do each order as a task of one CPU; return what comes out.

    Args:
        orders: pickled pairs of a function and its arguments; the function's last argument is not among them.
        address: of the cluster: ``auto``, ``local`` or ``host:port``.
        key: under which the address was given, for messages.
        queries: of each job, for the progress bar.
        tell: of progress.

    Raises:
        Interrupted: Ctrl-C; with the results of jobs that were through.
        UserError: Ray is not installed, there is no cluster, or one has lost a job's process several times.
    """
    if find_spec("ray") is None:
        raise UserError(f"{key}={address}: Ray is not installed; pip install 'parity_exp[ray]'")
    ray_cluster.join(address, 1, None, key)
    import ray

    job = ray.remote(num_cpus=1, max_retries=3)(_do)
    started = {job.remote(order): name for name, order in orders.items()}
    waiting = list(started)
    done: dict[Key, Any] = {}
    try:
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1, timeout=TELL_S)
            done |= {started[one]: ray.get(one) for one in ready}
            tell(queries * len(done))
    except ray.exceptions.WorkerCrashedError as error:
        raise UserError(f"{key}={address}: a job's process has died again and again ({error})") from None
    except KeyboardInterrupt:
        raise Interrupted(done) from None
    finally:
        for one in waiting:
            ray.cancel(one, force=True)
    return {name: done[name] for name in orders}


def _do(order: bytes) -> Any:
    work, arguments = pickle.loads(order)
    return work(*arguments, lambda _: None)
