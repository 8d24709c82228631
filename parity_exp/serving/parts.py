"""What a frontend is made of, the only one or one of several; and the only one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from parity_exp.policies.queues import Board
from parity_exp.recordings.recorder import Recorder
from parity_exp.recordings.troubles import Troubles
from parity_exp.serving.clients import Clients
from parity_exp.serving.disturber import Disturber
from parity_exp.serving.frontend import Frontend
from parity_exp.serving.output_judge import OutputJudge
from parity_exp.serving.pool import Instances


@dataclass(frozen=True)
class Parts:
    """What differs from frontend to frontend of a run.

    Attributes:
        number: which it is.
        instances: what tasks go to.
        recorder: is told everything.
        troubles: is told what goes wrong.
        progress: is told now and then how many queries have been answered.
        clients: who ask; None: all.
        board: what instances know of themselves; None: it has them to itself.
        disturber: carries out the straggler trace; None: another does.
    """

    number: int
    instances: Instances
    recorder: Recorder
    troubles: Troubles
    progress: Callable[[int], None]
    clients: Clients | None = None
    board: Board | None = None
    disturber: Disturber | None = None


MakeFrontend = Callable[[Parts], tuple[Frontend, OutputJudge]]


class Frontends(ABC):
    """Those who serve a run."""

    @abstractmethod
    def run(self) -> None:
        """Serve until every query has its answer.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """

    def close(self) -> None:  # noqa: B027
        """End what has been started; the recorder has everything then. Bounded in time."""

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """What answering has cost, and how good comparisons of outputs were."""


class OneFrontend(Frontends):
    """A frontend in this process."""

    def __init__(self, make: MakeFrontend, parts: Parts) -> None:
        self.frontend, self.judge = make(parts)

    def run(self) -> None:
        self.frontend.run()

    def metrics(self) -> dict[str, float]:
        return self.frontend.metrics() | self.judge.metrics()
