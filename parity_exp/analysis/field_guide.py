"""What each approach of the field is, for a page that compares some of them: what a newcomer needs to read the rest.

Facts about published systems are theirs; the papers are named. What runs measured stands elsewhere on the page.
"""

from collections.abc import Collection
from dataclasses import dataclass

from parity_exp.analysis.page import Section, Table

INTRODUCTION = (
    "A prediction service runs the same network on many machines, and every query waits for one of them. When that one "
    "is late (its network is busy, another program runs beside it, it has died), so is the answer, and a client who "
    "sends many queries nearly always meets one. There are three ways out: do the work again elsewhere, do it more "
    "than once from the start, or encode several queries together, so that one more task stands in for whichever of "
    "them is late. They differ in what they cost while all is well, how soon they help, and whether answers are exact."
)


@dataclass(frozen=True)
class Approach:
    """One way to answer in spite of a late instance.

    Attributes:
        name: the policy's, or the code's with the word code before it.
        idea: what it does, in a sentence.
        machines: beyond those that serve without redundancy.
        answer: how good an answer is that did not come from the query's own task.
        weakness: when it is the wrong choice.
        source: who had the idea.
    """

    name: str
    idea: str
    machines: str
    answer: str
    weakness: str
    source: str


APPROACHES = (
    Approach("none", "Wait.", "none", "-", "the slowest instance decides the tail", "-"),
    Approach(
        "equal_resources", "Spend the machines that a code would use on more instances instead.", "m r / k", "-",
        "a late instance is as late as before", "the baseline of Parity Models",
    ),
    Approach(
        "replication", "Send every query to two instances; the first answer counts.", "m", "exact",
        "twice the work; tips over at half the load", "-",
    ),
    Approach(
        "hedged", "Send a query again when its task takes longer than nine in ten do.", "m r / k, or none", "exact",
        "waits first: no late answer before the delay and a second service time", "The Tail at Scale, CACM 2013",
    ),
    Approach(
        "approximate_backup", "Every query also goes to a small, fast model.", "m r / k", "the small model's",
        "a second model to train, and its answers wherever the first is late", "Parity Models, section 6",
    ),
    Approach(
        "parity", "k queries make one parity query, for a network trained to output the sum of their predictions.",
        "m r / k", "approximate, where a task is late", "base instances have none of the extra machines: it collapses "
        "when they are full", "ParM: Parity Models, SOSP 2019",
    ),
    Approach(
        "shared_parity", "All instances hold all models; parity runs on idle time only, late queries are hedged.",
        "m r / k", "exact or approximate, whichever is first", "every instance needs room for both models",
        "parity_exp",
    ),
    Approach(
        "adaptive", "Copies of every query while there is room, then parity, then hedging; slow instances rest.",
        "m r / k", "exact or approximate, whichever is first", "as for shared_parity", "parity_exp",
    ),
    Approach(
        "checked_parity", "ParM that also compares: own predictions that do not fit the parity output are flagged.",
        "m r / k", "approximate, where a task is late", "says that an answer is wrong after it has gone out",
        "error detection of MDS codes",
    ),
    Approach(
        "checked_shared_parity", "The same on a shared pool: groups are checked while there is time for parity.",
        "m r / k", "exact or approximate, whichever is first", "checks fewer groups the higher the load",
        "error detection of MDS codes",
    ),
    Approach(
        "voted_parity", "Waits for r >= 2 parity outputs, and answers with what most of them agree on.", "m r / k",
        "approximate, where a task is late or wrong", "every answer waits for its group",
        "error correction of MDS codes",
    ),
    Approach(
        "voted_replication", "Sends every query to three instances and answers with what two agree on.", "2 m",
        "exact", "three times the work", "triple modular redundancy",
    ),
    Approach(
        "berrut", "Copies of the base model see n mixtures of k queries; any n - S answers give all predictions by "
        "rational interpolation. No training.", "m (n - k) / k", "every answer is approximate",
        "the group has to fill first, and nothing is exact", "ApproxIFER, AAAI 2022",
    ),
    Approach(
        "nercc", "The same with smoothing splines, whose stiffness is chosen on validation data.", "m (n - k) / k",
        "every answer is approximate", "as for berrut", "NeRCC, arXiv 2402.04377; LeTCC, NeurIPS 2024",
    ),
    Approach(
        "oracle", "Knows all service times in advance: a bound, for simulations only.", "m r / k", "exact",
        "does not exist", "-",
    ),
)  # fmt: skip

COLUMNS = ("approach", "what it does", "more machines", "an answer that is not its own", "when not", "source")


def guide(policies: Collection[str]) -> Section:
    """What some policies are, where there are two or more that the guide knows."""
    known = [approach for approach in APPROACHES if approach.name in policies]
    if len(known) < 2:
        return Section("approaches", "The approaches")
    rows = [(one.name, one.idea, one.machines, one.answer, one.weakness, one.source) for one in known]
    table = Table(COLUMNS, rows, "m instances serve without redundancy; k queries make r parity queries", words=6)
    return Section("approaches", "The approaches", [INTRODUCTION], [table])
