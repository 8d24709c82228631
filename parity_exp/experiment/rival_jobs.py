"""The jobs of a comparison: for each rival a training and a simulation with its policies, each a command of its own."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from parity_exp.analysis.tables.rivals import Rival
from parity_exp.errors import ConfigError, UserError
from parity_exp.experiment.command_line import place_of
from parity_exp.experiment.moved_keys import place_now
from parity_exp.experiment.sections import changed_by
from parity_exp.experiment.suggestions import did_you_mean
from parity_exp.files.identity import Identity
from parity_exp.recordings.run_directory import RunDirectory

TRAIN, SIMULATE = "train", "simulate"


@dataclass(frozen=True)
class Entry:
    """A rival of a comparison, as the config has it.

    Attributes:
        name: what it is called.
        train: overrides of its training.
        policies: those that its run is simulated with, each with the metric of the training, without ``test/``, that
            says how good what answers a late query is.
        simulate: overrides of its simulation.
    """

    name: str
    train: Sequence[str]
    policies: Mapping[str, str]
    simulate: Sequence[str] = ()


def entries(config: DictConfig) -> list[Entry]:
    """The rivals that are asked for, in their order.

    Raises:
        ConfigError: there are none, or one is not what it has to be.
    """
    rivals = OmegaConf.to_container(config)["compare"]["rivals"] or {}  # type: ignore[index,call-overload]
    if not rivals:
        raise ConfigError("compare.rivals: there are none; choose experiment=compare/rivals, or name some")
    chosen = list(config.compare.only or rivals)
    for name in chosen:
        if name not in rivals:
            raise ConfigError(f"compare.only={name}: it is none of compare.rivals{did_you_mean(name, list(rivals))}")
    return [_entry(str(name), rivals[name]) for name in chosen]


def _entry(name: str, said: object) -> Entry:
    key = f"compare.rivals.{name}"
    if not isinstance(said, dict) or not {"train", "policies"} <= set(said) <= {"train", "policies", "simulate"}:
        raise ConfigError(
            f"{key}: expected `train`, a list of overrides, `policies`, a metric for each, perhaps `simulate`, a list "
            "of overrides"
        )
    policies = said["policies"]
    for name_of in (TRAIN, SIMULATE):
        given = said.get(name_of, [])
        if not isinstance(given, list) or not all(isinstance(one, str) and "=" in one for one in given):
            raise ConfigError(f"{key}.{name_of}: expected a list of overrides, such as [encoder=addition,recipe=parm]")
    if not isinstance(policies, dict) or not policies or not all(isinstance(one, str) for one in policies.values()):
        raise ConfigError(f"{key}.policies: expected policies with metrics, such as {{parity: degraded_accuracy}}")
    return Entry(name, said["train"], policies, said.get("simulate", []))


def shared_words() -> list[str]:
    """What this command line says to all jobs: its overrides but for those of ``compare``, and where configs are."""
    hydra = HydraConfig.get()
    folders = [one.path for one in hydra.runtime.config_sources if one.provider == "command-line"]
    own = [f"--config-dir={folder}" for folder in folders]
    own += [one for one in hydra.overrides.hydra if place_of(one) == "hydra.searchpath"]
    return own + [one for one in hydra.overrides.task if place_of(one).split(".")[0] != "compare"]


def run_rivals(rivals: Sequence[Entry], shared: Sequence[str], folder: Path) -> list[Rival]:
    """Train and simulate each, one after the other; what is done already is not done again.

    Args:
        rivals: who.
        shared: words of all jobs' command lines; a simulation gets those of them that it may change in a trained run.
        folder: gets a folder for each rival, with those of its two run directories.

    Returns:
        Where to read what came of each.

    Raises:
        UserError: a job that has failed, with what it said last.
    """
    of_simulations = [one for one in shared if _may_be_simulated(one)]
    done = []
    for number, rival in enumerate(rivals, 1):
        trained, simulated = folder / rival.name / TRAIN, folder / rival.name / SIMULATE
        print(f"{rival.name}, {number} of {len(rivals)}", flush=True)
        _job(TRAIN, [*shared, *rival.train], trained)
        policies = f"redundancy=[{','.join(rival.policies)}]"
        _job(SIMULATE, [*of_simulations, policies, *rival.simulate, f"run={trained}"], simulated)
        done.append(Rival(rival.name, rival.policies, trained, simulated))
    return done


def _may_be_simulated(override: str) -> bool:
    section = re.split(r"[./]", place_now(place_of(override)))[0]
    return override.startswith("--") or section in (*changed_by("simulate"), "experiment", "trust", "hydra")


def _job(command: str, overrides: Sequence[str], folder: Path) -> None:
    if RunDirectory(folder).metrics.is_file():
        earlier = Identity.read(folder)
        of_config = [one for one in overrides if not one.startswith(("--", "hydra."))]
        if earlier is None or list(earlier.overrides) != of_config:
            raise UserError(
                f"{folder}: holds a `{command}` that was made by other settings; give another hydra.run.dir"
            )
        return
    line = [sys.executable, "-m", "parity_exp", command, *overrides, f"hydra.run.dir={folder}"]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or "nothing").splitlines()[-1]
        raise UserError(f"compare.rivals.{folder.parent.name}: its `{command}` failed: {said}")
