"""``report``: gather run directories into tidy tables and one page that compares them.

It trains and serves nothing, so there is no config and no environment to keep, and nothing to track; its own directory
has no config.yaml, and later reports pass it by.
"""

import glob
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig

from parity_exp.analysis.pages.comparison import write_comparison
from parity_exp.errors import ConfigError, UserError
from parity_exp.recordings.gathered import gather


def run(composed: DictConfig) -> float:
    """Report on ``runs=``; return the number of runs."""
    patterns = patterns_of(composed.runs, composed.outputs)
    gathered = gather(patterns)
    if not gathered:
        raise UserError(
            f"runs={','.join(patterns)}: no run directories there (folders with a run's config.yaml, looked for from "
            f"{Path.cwd()}); give runs='FOLDER/**' with a folder below which `train` or `serve` has written"
        )
    folder = Path(HydraConfig.get().runtime.output_dir)
    done = write_comparison(gathered, folder, patterns)
    wrong = sum(bool(one.problems) for one in gathered)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    print(f"{len(gathered):,} runs, {wrong:,} with problems, {len(done.serving):,} policies served in them")
    print(f"report: {folder / done.page.name}")
    return float(len(gathered))


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
