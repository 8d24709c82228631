"""What each approach of the field is, for a page that compares some of them: what a newcomer needs to read the rest.

Each policy says itself what it is (:class:`~parity_exp.policies.look.Look`). Facts about published systems are theirs;
the papers are named. What runs measured stands elsewhere on the page.
"""

from collections.abc import Collection

from parity_exp.analysis.pages.page import Section, Table
from parity_exp.recordings.looks import KNOWN, Looks, look_of

INTRODUCTION = (
    "A prediction service runs the same network on many machines, and every query waits for one of them. When that one "
    "is late (its network is busy, another program runs beside it, it has died), so is the answer, and a client who "
    "sends many queries nearly always meets one. There are three ways out: do the work again elsewhere, do it more "
    "than once from the start, or encode several queries together, so that one more task stands in for whichever of "
    "them is late. They differ in what they cost while all is well, how soon they help, and whether answers are exact."
)


COLUMNS = ("approach", "what it does", "more machines", "an answer that is not its own", "when not", "source")


def guide(policies: Collection[str], declared: Looks | None = None) -> Section:
    """What some policies are, where there are two or more that say what they do.

    Args:
        policies: their names.
        declared: what they say of themselves; of those that are not in it, what this package's own of the name says.
    """
    order = [name for name in KNOWN if name in policies] + [name for name in policies if name not in KNOWN]
    known = {name: look for name in order if (look := look_of(name, declared)).idea}
    if len(known) < 2:
        return Section("approaches", "The approaches")
    rows = [(name, one.idea, one.machines, one.answer, one.weakness, one.source) for name, one in known.items()]
    table = Table(COLUMNS, rows, "m instances serve without redundancy; k queries make r parity queries", words=6)
    return Section("approaches", "The approaches", [INTRODUCTION], [table])
