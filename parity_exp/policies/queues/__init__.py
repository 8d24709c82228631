"""Queue disciplines, one a file: which instance is given what, and when."""

from parity_exp.policies.queues.queues import Queues
from parity_exp.policies.queues.round_robin import RoundRobin
from parity_exp.policies.queues.single import SingleQueue

__all__ = ["Queues", "RoundRobin", "SingleQueue"]
