"""Load: when queries arrive, and which test samples they are."""

from parity_exp.load.bursts import Bursts
from parity_exp.load.closed_loop import ClosedLoop
from parity_exp.load.constant import Constant
from parity_exp.load.load import LONGEST_S, Load, OpenLoad
from parity_exp.load.poisson import Poisson
from parity_exp.load.published import AzureFunctions, AzureLlm, BurstGpt, Mooncake
from parity_exp.load.query_order import query_indices
from parity_exp.load.steps import Steps
from parity_exp.load.trace_load import TraceLoad, read_arrivals, write_arrivals

__all__ = [
    "LONGEST_S",
    "AzureFunctions",
    "AzureLlm",
    "BurstGpt",
    "Bursts",
    "ClosedLoop",
    "Constant",
    "Load",
    "Mooncake",
    "OpenLoad",
    "Poisson",
    "Steps",
    "TraceLoad",
    "query_indices",
    "read_arrivals",
    "write_arrivals",
]
