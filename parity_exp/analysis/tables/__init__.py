"""Tables of runs, and how they appear in the terminal."""

from parity_exp.analysis.tables.quality import part_costs, quality_table, score_name
from parity_exp.analysis.tables.terminal import show

__all__ = ["part_costs", "quality_table", "score_name", "show"]
