"""The redundancy policies, one a file, what they are made of, and what drives them.

- ``policy.py`` has what every policy is, with an example; ``work.py`` and ``role.py`` what it deals with, ``look.py``
  how it appears in reports.
- Parts that several policies are made of: ``grouping.py`` and ``parity_groups.py`` (coding groups), ``hedging.py``
  (what is late is sent again), ``budget.py`` (how often), ``resting.py`` (slow instances rest), ``checking.py``,
  ``voting.py``, ``estimates/``.
- ``desk.py`` drives a policy, with the queue disciplines of ``queues/``; ``judge.py`` compares outputs for it.
"""

from parity_exp.policies.adaptive import Adaptive
from parity_exp.policies.approximate_backup import ApproximateBackup
from parity_exp.policies.autopilot import Autopilot
from parity_exp.policies.checked_parity import CheckedParity
from parity_exp.policies.checked_shared_parity import CheckedSharedParity
from parity_exp.policies.coded import Coded
from parity_exp.policies.duplicates import Duplicates
from parity_exp.policies.equal_resources import EqualResources
from parity_exp.policies.hedged import Hedged
from parity_exp.policies.laedge import Laedge
from parity_exp.policies.no_redundancy import NoRedundancy
from parity_exp.policies.oracle import Oracle
from parity_exp.policies.parity import Parity
from parity_exp.policies.reissue import Reissue
from parity_exp.policies.replication import Replication
from parity_exp.policies.shared_parity import SharedParity
from parity_exp.policies.tied import Tied
from parity_exp.policies.voted_parity import VotedParity
from parity_exp.policies.voted_replication import VotedReplication

__all__ = [
    "Adaptive",
    "ApproximateBackup",
    "Autopilot",
    "CheckedParity",
    "CheckedSharedParity",
    "Coded",
    "Duplicates",
    "EqualResources",
    "Hedged",
    "Laedge",
    "NoRedundancy",
    "Oracle",
    "Parity",
    "Reissue",
    "Replication",
    "SharedParity",
    "Tied",
    "VotedParity",
    "VotedReplication",
]

IN_ORDER = (
    "NoRedundancy", "EqualResources", "Replication", "Hedged", "Reissue", "Tied", "Laedge", "Duplicates",
    "ApproximateBackup", "Parity", "SharedParity", "Adaptive", "Autopilot", "CheckedParity", "CheckedSharedParity",
    "VotedParity", "VotedReplication", "Coded", "Oracle",
)  # fmt: skip
"""Their names in the order in which a newcomer should meet them."""
