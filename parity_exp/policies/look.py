"""How a policy appears in figures, tables and reports: it says so itself, so that who draws need not know it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """The colour and the words of a policy.

    Attributes:
        name: the name in the config that it is meant for; empty for whatever name the policy is given.
        colour: as Matplotlib has them, such as ``#0072b2``; None: one that follows from the name alone.
        idea: what it does, in a sentence; empty: reports do not explain it.
        machines: beyond those that serve without redundancy.
        answer: how good an answer is that did not come from the query's own task.
        weakness: when it is the wrong choice.
        source: who had the idea.
    """

    name: str = ""
    colour: str | None = None
    idea: str = ""
    machines: str = "-"
    answer: str = "-"
    weakness: str = "-"
    source: str = "-"
