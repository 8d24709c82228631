"""Queue disciplines, one a file: which instance is given what, and when."""

from parity_exp.policies.queues.board import Board
from parity_exp.policies.queues.c3 import C3
from parity_exp.policies.queues.join_idle_queue import JoinIdleQueue
from parity_exp.policies.queues.least_outstanding import LeastOutstanding
from parity_exp.policies.queues.per_instance import PerInstance
from parity_exp.policies.queues.power_of_d import PowerOfD
from parity_exp.policies.queues.prequal import Prequal
from parity_exp.policies.queues.queues import Queues
from parity_exp.policies.queues.random_choice import RandomChoice
from parity_exp.policies.queues.round_robin import RoundRobin
from parity_exp.policies.queues.single import SingleQueue

__all__ = [
    "C3",
    "Board",
    "JoinIdleQueue",
    "LeastOutstanding",
    "PerInstance",
    "PowerOfD",
    "Prequal",
    "Queues",
    "RandomChoice",
    "RoundRobin",
    "SingleQueue",
]
