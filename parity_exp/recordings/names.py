"""Names of the files of a run directory. They stand here and nowhere else; who wants a path asks `RunDirectory`."""

import re
from dataclasses import dataclass

CONFIG, METRICS, ENVIRONMENT = "config.yaml", "metrics.json", "environment.json"
POLICIES, COMPONENTS = "policies.json", "components.json"
"""What policies, and the classes of all components, say of themselves."""

HYDRA = ".hydra"
HYDRA_CONFIG, HYDRA_RECORD, OVERRIDES = "config.yaml", "hydra.yaml", "overrides.yaml"
"""Hydra's own record of a job, and its files."""

HISTORY = "history.csv"
TABLE = ".csv"
PER_CLASS, OVERALL = "per_class.csv", "overall.csv"
CHECKPOINTS, CHECKPOINT = "checkpoints", ".ckpt"
LAST = "last"
"""The checkpoint that training goes on from."""

ARRIVALS, TRACE = "arrivals.csv", "straggler-trace.csv"
SEEDS, PAIRS = "seeds.csv", "pairs.csv"
PLAN, PLAN_SIZES = "plan.csv", "plan-sizes.csv"
FIGURES, PICTURE, REPORT = "figures", ".png", "report.html"

RUNS, SERVING = "runs", "serving"
"""Tables of a report on many runs, each as ``.csv`` and ``.parquet``."""

MAP, STANDINGS = "map.csv", "standings.csv"
"""Of a report on many simulations: the policy to take at each point, and how policies stand against each other."""

SWEEP = "sweep.csv"
"""The table of all jobs of a sweep, in the folder of the sweep."""

MARKS = (HYDRA, METRICS, ENVIRONMENT)
"""What stands beside a run's config, and not beside a file of that name of something else."""


@dataclass(frozen=True)
class OfPolicies:
    """A file that a run directory has for each policy, with the policy's name in its own."""

    before: str
    after: str

    def __call__(self, policy: str) -> str:
        return f"{self.before}{policy}{self.after}"

    def policy_of(self, name: str) -> str | None:
        """The policy that a file of this kind is of; None for any other file."""
        match = re.fullmatch(f"{re.escape(self.before)}(.+){re.escape(self.after)}", name, re.DOTALL)
        return None if match is None else match[1]


QUERIES, TASKS = OfPolicies("queries-", ".parquet"), OfPolicies("tasks-", ".parquet")
LATENCIES, ERRORS = OfPolicies("latency-", ".hlog"), OfPolicies("errors-", ".csv")
OWN_CODE_SEARCH, CODE_SEARCH = "code_search.csv", OfPolicies("code_search-", ".csv")

PRODUCTS = (CHECKPOINTS, METRICS, HISTORY, f"base_{HISTORY}", QUERIES("*"), PLAN)
"""Patterns of what only jobs write: a folder with one of them is a run's, though it may lack its config."""


def checkpoint_of(part: str) -> str:
    """The best weights of a part, such as ``base``; of ``last`` the state of training."""
    return f"{part}{CHECKPOINT}"


def history_of(section: str) -> str:
    """The history of a network that is trained beside the coded model, such as ``base`` and ``backup``."""
    return f"{section}_{HISTORY}"
