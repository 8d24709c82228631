"""``compare``: train codes and simulate them and their rivals on one cluster; one table and one picture of all."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from parity_exp.analysis.pages.rivals import NAME, write_rivals
from parity_exp.analysis.tables.rivals import rivals_table
from parity_exp.analysis.tables.terminal import show
from parity_exp.experiment.job import put_on_record, resolved
from parity_exp.experiment.own_folder import claim
from parity_exp.experiment.rival_jobs import entries, run_rivals, shared_words
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.words import counted


def run(composed: DictConfig) -> float:
    """Compare ``compare.rivals``; return how many rows the table has."""
    config = resolved(composed)
    rivals = entries(config)
    folder = Path(HydraConfig.get().runtime.output_dir)
    claim("compare", config, RunDirectory(folder), {})
    put_on_record(config, RunDirectory(folder))
    table = rivals_table(run_rivals(rivals, shared_words(), folder))
    page = write_rivals(table, folder)
    show(counted(len(rivals), "rival"), table.round(4), f"all columns: {folder / NAME}.csv")
    print(f"report: {page}")
    return float(len(table))
