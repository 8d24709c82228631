"""What went wrong with instances and their models while serving: each distinct error once, with how often it came."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from parity_exp.files.writing import write_text
from parity_exp.recordings import columns, names
from parity_exp.recordings.error_text import one_line
from parity_exp.words import QUERY, counted

RAISED, DIED, HUNG, NOT_FINITE, FRONTEND = "raised", "died", "hung", "not finite", "frontend died"

VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
"""What differs from one error to the next of the same kind: numbers and addresses."""

MOST = 50
"""So many distinct errors are kept; others count as one."""

OTHERS = "errors of other kinds"


@dataclass
class Trouble:
    """An error, or several of a kind.

    Attributes:
        what: ``raised``: a model did, on a task. ``died``: an instance did. ``hung``: an instance had to be killed, or
            had not ended a task when the run ended. ``not finite``: outputs of a task were NaN or infinite.
            ``frontend died``: one of several did; ``instances`` says which.
        model: which; empty where an instance as a whole is meant.
        error: its text, the first of its kind.
        times: how often.
        instances: which; none where a server was asked that is not ours to look into: ``what`` then says what became
            of queries, such as ``refused``.
    """

    what: str
    model: str
    error: str
    times: int = 0
    instances: set[int] = field(default_factory=set)

    def sentence(self) -> str:
        """What happened, in one line."""
        if self.what == FRONTEND:
            return f"frontend{'s' * (len(self.instances) > 1)} {_listed(sorted(self.instances))} died: {self.error}"
        if not self.instances:
            return f"{counted(self.times, *QUERY)} lost ({self.what}): {self.error}"
        where = f"instance{'s' * (len(self.instances) > 1)} {_listed(sorted(self.instances))}"
        tasks = f"{self.times:,} task{'s' * (self.times != 1)} of {self.model}"
        if self.what == RAISED:
            return f"{tasks} raised {self.error} ({where})"
        if self.what == NOT_FINITE:
            return f"{tasks} gave outputs that are not finite: {self.error} ({where})"
        often = "" if self.times == 1 else f" {self.times:,} times"
        return f"{where} {self.what}{often}: {self.error}"


class Troubles:
    """Collects what went wrong during one policy's run."""

    def __init__(self) -> None:
        self._troubles: dict[tuple[str, str, str], Trouble] = {}

    def __bool__(self) -> bool:
        return bool(self._troubles)

    def note(self, what: str, model: str, instance: int | None, error: str) -> None:
        """Something went wrong.

        Args:
            what: one of the kinds of :class:`Trouble`.
            model: which model; empty for the whole instance.
            instance: where; None where nobody knows.
            error: the text.
        """
        error = one_line(error)
        key = (what, model, VARYING.sub("#", error))
        trouble = self._troubles.get(key)
        if trouble is None:
            if len(self._troubles) >= MOST:
                key, error = (what, model, OTHERS), OTHERS
            trouble = self._troubles.setdefault(key, Trouble(what, model, error))
        trouble.times += 1
        if instance is not None:
            trouble.instances.add(instance)

    def add(self, other: "Troubles") -> None:
        """Take what another has collected."""
        for key, trouble in other._troubles.items():
            own = self._troubles.setdefault(key, Trouble(trouble.what, trouble.model, trouble.error))
            own.times += trouble.times
            own.instances |= trouble.instances

    def sentences(self) -> list[str]:
        """A line each, the most frequent first."""
        return [trouble.sentence() for trouble in self._ordered()]

    def metrics(self) -> dict[str, float]:
        """How many tasks raised, instances died and hung, and tasks gave what is not finite, as far as any did."""
        names = {
            RAISED: "errors",
            DIED: "deaths",
            HUNG: "hangs",
            NOT_FINITE: "not_finite_tasks",
            FRONTEND: "frontend_deaths",
        }
        counts = {
            name: float(sum(trouble.times for trouble in self._troubles.values() if trouble.what == what))
            for what, name in names.items()
        }
        return {name: count for name, count in counts.items() if count}

    def table(self, policy: str) -> pd.DataFrame:
        """A row an error."""
        rows = [
            (policy, one.what, one.model, one.times, " ".join(map(str, sorted(one.instances))), one.error)
            for one in self._ordered()
        ]
        return pd.DataFrame(rows, columns=list(columns.ERRORS))

    def save(self, folder: Path, policy: str) -> None:
        """Write ``errors-<policy>.csv``, if there were errors.

        Raises:
            OSError: the folder is missing, read-only or full.
        """
        if self:
            write_text(folder / names.ERRORS(policy), self.table(policy).to_csv(index=False))

    def _ordered(self) -> list[Trouble]:
        return sorted(self._troubles.values(), key=lambda trouble: -trouble.times)


def _listed(instances: list[int], most: int = 8) -> str:
    shown = ", ".join(map(str, instances[:most]))
    return shown if len(instances) <= most else f"{shown} and {len(instances) - most} more"
