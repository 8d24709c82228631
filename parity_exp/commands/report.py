"""``report``: gather run directories into tidy tables and one page that compares them.

It trains and serves nothing, so there is no config and no environment to keep, and nothing to track; its own directory
has no config.yaml, and later reports pass it by.
"""

import glob
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig

from parity_exp.api.reporting import report
from parity_exp.errors import ConfigError
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.words import POLICY, counted


def run(composed: DictConfig) -> float:
    """Report on ``runs=``; return the number of runs."""
    patterns = patterns_of(composed.runs, composed.outputs)
    folder = Path(HydraConfig.get().runtime.output_dir)
    done = report(patterns, folder=folder)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    runs, wrong, served = len(done.gathered), len(done.problems), len(done.serving)
    print(f"{counted(runs, 'run')}, {wrong:,} with problems, {counted(served, *POLICY)} served in them")
    print(f"report: {RunDirectory(folder).report}")
    return float(runs)


def patterns_of(runs: object, outputs: str) -> list[str]:
    """``runs`` as a list of patterns: one, several between commas, or a list; all of ``outputs`` where it is null.

    Raises:
        ConfigError: it is something else, or empty.
    """
    if runs is None:
        return [f"{glob.escape(outputs)}/**"]
    parts: Sequence[object] = runs if isinstance(runs, ListConfig | list) else str(runs).split(",")
    patterns = [part.strip() for part in parts if isinstance(part, str) and part.strip()]
    if not patterns or len(patterns) < len(parts):
        raise ConfigError(f"runs={runs}: expected patterns of folders, such as 'outputs/**' or [outputs/train,old/**]")
    return patterns
