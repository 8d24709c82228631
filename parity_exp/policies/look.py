"""What figures, tables and reports need to know of a policy: it says so itself, so that who draws need not know it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """The colour and the words of a policy, and its part in comparisons.

    Attributes:
        name: the name in the config that it is meant for; empty for whatever name the policy is given.
        colour: as Matplotlib has them, such as ``#0072b2``; None: one that follows from the name alone.
        idea: what it does, in a sentence; empty: reports do not explain it.
        machines: beyond those that serve without redundancy.
        answer: how good an answer is that did not come from the query's own task.
        weakness: when it is the wrong choice.
        source: who had the idea.
        is_baseline: others are measured against it, where it has run.
        is_bound: it knows what no policy can: how far it gets is shown, and nobody is measured against it.
    """

    name: str = ""
    colour: str | None = None
    idea: str = ""
    machines: str = "-"
    answer: str = "-"
    weakness: str = "-"
    source: str = "-"
    is_baseline: bool = False
    is_bound: bool = False
