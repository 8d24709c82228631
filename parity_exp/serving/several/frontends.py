"""Several frontends that serve one load on one pool: their processes, from the fork to what they hand in."""

import gc
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.context import ForkProcess

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from parity_exp.errors import UserError
from parity_exp.process.interrupts import arrived, ctrl_c_waits
from parity_exp.recordings.error_text import one_line
from parity_exp.recordings.recorder import RecordedApart
from parity_exp.recordings.troubles import FRONTEND, Troubles
from parity_exp.serving.frontend import Workload
from parity_exp.serving.output_judge import OutputJudge
from parity_exp.serving.parts import Frontends, MakeFrontend, Parts
from parity_exp.serving.pool import Pool, ServedModel
from parity_exp.serving.several import wire
from parity_exp.serving.several.arrivals import Arrivals
from parity_exp.serving.several.forked import fork
from parity_exp.serving.several.relay import Relay, Side
from parity_exp.serving.several.relayed import RelayedClients, RelayedInstances, hand_in, slots_for
from parity_exp.serving.several.shared_board import SharedBoard
from parity_exp.serving.spent import Spent

LEAD_S = 0.05
"""From when all are ready to the beginning of the run."""

HAND_IN_S = 15.0
"""How long a frontend may say nothing at the end of a run, though it has more to hand in."""

ENDED_S = 2.0


@dataclass(frozen=True)
class _HandedIn:
    """What a frontend hands in at its end."""

    recorded: RecordedApart
    spent: Spent
    troubles: Troubles


class SeveralFrontends(Frontends):
    """Processes of frontends, and the relay between them and the pool.

    Args:
        make: makes a frontend in its process.
        parts: those of the whole run; the recorder writes into memory that forks share.
        pool: started.
        workload: the queries.
        frontends: how many there are.
        owner_of: ``(total,)``, the frontend that each query goes to.
        models: that instances hold.
        instances: how many there are.
        batch_size: queries in a task at most.
        replaces_queries: coded queries go out in the place of clients' queries.
        kept: descriptors of pipes that frontends have to others.
    """

    def __init__(
        self,
        make: MakeFrontend,
        parts: Parts,
        pool: Pool,
        workload: Workload,
        frontends: int,
        owner_of: NDArray[np.int64],
        models: Mapping[str, ServedModel],
        instances: int,
        batch_size: int,
        replaces_queries: bool,
        kept: Sequence[int] = (),
    ) -> None:
        assert parts.disturber is not None
        self._make = make
        self._parts = parts
        self._pool = pool
        self._models = models
        self._instances = instances
        self._replaces_queries = replaces_queries
        self._spent: dict[int, Spent] = {}
        self._board = SharedBoard(instances, frontends)
        self._arrivals = Arrivals(owner_of, workload.arrivals_s, workload.think_s)
        self._slots = [slots_for(models, instances, pool.prefetch, batch_size) for _ in range(frontends)]
        self._channels = [wire.sockets() for _ in range(frontends)]
        own = [self._arrivals.of(number) for number in range(frontends)]
        sides = [
            Side(number, ours, slots, len(own[number][0]))
            for number, ((ours, _), slots) in enumerate(zip(self._channels, self._slots, strict=True))
        ]
        self._relay = Relay(
            pool, sides, models, instances, self._arrivals, parts.disturber, parts.troubles, self._died, parts.progress
        )
        self._processes: list[ForkProcess] = []
        gc.collect()
        gc.freeze()  # what is there by now no fork need look through, nor have a copy of its own for that
        try:
            with ctrl_c_waits():  # what it raises among the hooks that run at a fork is lost, and so might a fork be
                for number, (_, theirs) in enumerate(self._channels):
                    mine = [theirs.fileno(), *kept]
                    self._processes.append(fork(partial(self._run, number), f"frontend {number}", mine))
        except BaseException:
            self.close()
            raise
        finally:
            gc.unfreeze()
            for _, theirs in self._channels:
                theirs.close()

    # ---- here

    def run(self) -> None:
        """Serve until every query has its answer.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            UserError: no frontend is left.
            BaseException: what a frontend has raised.
        """
        self._relay.run(LEAD_S)
        if not self._relay.living:
            raise UserError("every frontend has died, and queries are left that nobody answers")

    def close(self) -> None:
        relay = self._relay
        relay.end(HAND_IN_S)
        for process in self._processes:
            process.kill()
            process.join(ENDED_S)
        for side in relay.sides:
            if side.handed_in is not None:
                handed_in: _HandedIn = pickle.loads(side.handed_in)
                self._parts.recorder.add(handed_in.recorded)
                self._parts.troubles.add(handed_in.troubles)
                self._spent[side.number] = handed_in.spent
        self._parts.recorder.frontend_of = self._arrivals.owner_of
        relay.close()

    def metrics(self) -> dict[str, float]:
        """As of one frontend; beside them what the relay has spent, and what each has, ``frontends/<number>/...``."""
        parts, spent = self._parts, Spent()
        for one in self._spent.values():
            spent.add(one)
        judge = OutputJudge(parts.recorder, None)
        judge.check_s = spent.check_s
        costs = spent.costs(self._replaces_queries, self._pool.interrupts)
        costs["relay_us"] = self._relay.cpu_s / max(spent.answered, 1) * 1e6
        costs |= parts.troubles.metrics() | parts.recorder.not_finite_metrics() | spent.times() | judge.metrics()
        return costs | {f"frontends/{number}/frontend_us": one.own_us for number, one in sorted(self._spent.items())}

    def _died(self, side: Side, now_s: float) -> None:
        """Note what is lost with a frontend; what it has not heard of yet others answer."""
        own = self._arrivals.of_the_dead(side.number)
        unsent, waiting = self._parts.recorder.without_answer(own)
        answered = len(own) - len(unsent) - len(waiting)
        self._arrivals.pass_on(unsent)
        self._arrivals.answered(answered - side.answered + len(waiting), now_s)
        living = [one.number for one in self._relay.living]
        if living:
            self._board.forget(side.number, living[0])
        if arrived():
            return  # who is ended with everybody has not died of itself
        process = self._processes[side.number]
        if side.death:
            process.kill()
        process.join(ENDED_S)
        code = process.exitcode
        why = side.death or (f"its process was killed by signal {-code}" if code is not None and code < 0 else "")
        lost = "1 query that it had is lost" if len(waiting) == 1 else f"{len(waiting)} queries that it had are lost"
        rest = "the other frontends take what would have come to it" if living else "no frontend is left"
        self._parts.troubles.note(FRONTEND, "", side.number, f"{why or 'its process ended'}; {lost}, {rest}")

    # ---- in a frontend's process

    def _run(self, number: int) -> None:
        channel = self._channels[number][1]
        try:
            content = pickle.dumps(self._serve(number))
        except BaseException as error:
            hand_in(channel, _pickled(error), wire.FAILED)
        else:
            hand_in(channel, content, wire.HANDED_IN)

    def _serve(self, number: int) -> _HandedIn:
        channel = self._channels[number][1]
        clients = RelayedClients(channel, *self._arrivals.of(number), self._arrivals.closed)
        pool = self._pool
        instances = RelayedInstances(
            channel, self._slots[number], self._models, self._instances, pool.prefetch, pool.interrupts, clients
        )
        recorder, troubles = self._parts.recorder, Troubles()
        frontend, judge = self._make(
            Parts(number, instances, recorder, troubles, clients.alive, clients, self._board.of(number))
        )
        zero_s = instances.start()
        if zero_s is not None:
            frontend.run(zero_s)
        spent = frontend.spent()
        spent.check_s = judge.check_s
        return _HandedIn(recorder.apart(), spent, troubles)


def _pickled(error: BaseException) -> bytes:
    """An error as it is, or where that cannot be sent, what it says."""
    try:
        content: bytes = cloudpickle.dumps(error)
        cloudpickle.loads(content)
    except Exception:
        content = cloudpickle.dumps(RuntimeError(one_line(f"{type(error).__name__}: {error}")))
    return content
