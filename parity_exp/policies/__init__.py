"""The redundancy policies, one a file; what they have in common is in ``parity_exp/policies/policy.py``."""

from parity_exp.policies.adaptive import Adaptive
from parity_exp.policies.approximate_backup import ApproximateBackup
from parity_exp.policies.checked_parity import CheckedParity
from parity_exp.policies.checked_shared_parity import CheckedSharedParity
from parity_exp.policies.coded import Coded
from parity_exp.policies.equal_resources import EqualResources
from parity_exp.policies.hedged import Hedged
from parity_exp.policies.no_redundancy import NoRedundancy
from parity_exp.policies.oracle import Oracle
from parity_exp.policies.parity import Parity
from parity_exp.policies.replication import Replication
from parity_exp.policies.shared_parity import SharedParity
from parity_exp.policies.voted_parity import VotedParity
from parity_exp.policies.voted_replication import VotedReplication

__all__ = [
    "Adaptive",
    "ApproximateBackup",
    "CheckedParity",
    "CheckedSharedParity",
    "Coded",
    "EqualResources",
    "Hedged",
    "NoRedundancy",
    "Oracle",
    "Parity",
    "Replication",
    "SharedParity",
    "VotedParity",
    "VotedReplication",
]

IN_ORDER = (
    "NoRedundancy", "EqualResources", "Replication", "Hedged", "ApproximateBackup", "Parity", "SharedParity",
    "Adaptive", "CheckedParity", "CheckedSharedParity", "VotedParity", "VotedReplication", "Coded", "Oracle",
)  # fmt: skip
"""Their names in the order in which a newcomer should meet them."""
