"""A run directory of what a program trains, which every command reads."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from parity_exp.api.objects import Choices, Data
from parity_exp.coding import Code, NonSystematicCode
from parity_exp.coding.generator import Chebyshev
from parity_exp.data import Dataset, Splits, StoredData, TensorData
from parity_exp.data.tensors import store_splits
from parity_exp.experiment.assembly import Experiment
from parity_exp.experiment.described_run import begin, check_networks, described_experiment, stored_experiment
from parity_exp.experiment.description import described
from parity_exp.experiment.trained_run import load_trained, warn_if_unfinished
from parity_exp.files.identity import digest_of_weights
from parity_exp.models import Split
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import CodedModel, Measuring, Study, TrainedParts
from parity_exp.training.coded_model import DECODER, ENCODER, PARITY

OF_OPTIMISATION = ("accumulate_grad_batches", "gradient_clip_val")
"""Arguments of Lightning's Trainer that the package sees to itself."""

SAMPLES = "samples.safetensors"
"""Where a run directory keeps data that are of no class which could read them again."""


def begin_run(run: RunDirectory, data: Data, choices: Choices, study: Study, how: Measuring) -> Study:
    """Write what a run directory begins with; return the study, which knows what determines its weights.

    Args:
        run: where.
        data: the data as they were given.
        choices: what else was given.
        study: what is made of that.
        how: how the code will be measured.

    Raises:
        ValueError: what was given cannot be described in a config; says what, and what to give instead.
        UserError: the folder holds another run.
    """
    stored = isinstance(data, TensorData) or not isinstance(data, Dataset)
    dataset = _stored(run, choices) if stored else described(data, "data")
    nodes = {"dataset": dataset, **_networks(choices), **_code(choices, study)}
    experiment = described_experiment(nodes, _settings(choices, study, how), study.splits)
    base, coded = study.base.new_network(), study.coded
    parities = None
    if isinstance(coded, CodedModel):
        parities = coded.new_networks()[0].state_dict() if coded.new_networks is not None else None
    check_networks(experiment, base.state_dict(), parities)
    given = {"the base model": digest_of_weights(base.state_dict())} if isinstance(choices.base, nn.Module) else {}
    begin(run, experiment, given)
    if stored:
        store_splits(choices.splits, run.path / SAMPLES)
    return _knowing(study, experiment)


def _knowing(study: Study, experiment: Experiment) -> Study:
    """The study with the facts that its checkpoints carry."""
    base = replace(study.base, facts=experiment.base_facts)
    coded = study.coded
    if isinstance(coded, CodedModel):
        coded = replace(coded, facts=experiment.coded_facts)
    return replace(study, base=base, coded=coded)


def _stored(run: RunDirectory, choices: Choices) -> dict[str, Any]:
    splits = choices.splits
    return {
        "_target_": f"{StoredData.__module__}.{StoredData.__qualname__}",
        "name": "tensors",
        "file": str(Path(run.path, SAMPLES).absolute()),
        "mean": list(splits.mean),
        "std": list(splits.std),
    }


def _networks(choices: Choices) -> dict[str, Any]:
    nodes: dict[str, Any] = {"architecture": described(choices.base, "base")}
    if choices.parity is not None and PARITY not in choices.frozen:
        nodes["parity.architecture"] = described(choices.parity, "parity")
    return nodes


def _code(choices: Choices, study: Study) -> dict[str, Any]:
    code, coded = choices.code, study.coded
    if not isinstance(coded, CodedModel):
        return {"code": described(code, "code"), **dict.fromkeys(("encoder", "decoder", "generator", "objective"))}
    encoder, decoder = (choices.made_encoder, choices.made_decoder)
    nodes: dict[str, Any] = {}
    if isinstance(code, Code):
        encoder, decoder = code.encoder, code.decoder
        if type(code) is not Code:
            nodes["code"] = described(type(code), "code")
    for name, part in ((ENCODER, encoder), (DECODER, decoder)):
        nodes[name] = described(part, name)
    return {
        **nodes,
        "generator": described(choices.generator or Chebyshev(), "generator"),
        "objective": described(choices.objective or choices.made_objective(), "objective"),
        "initialisation": described(choices.initialisation or Split(), "initialisation"),
        "optimizer": _partial(choices.optimizer, "optimizer"),
        "scheduler": _partial(choices.schedule, "schedule"),
        "base.optimizer": _partial(choices.base_optimizer, "base_optimizer"),
        "base.scheduler": _partial(choices.base_schedule, "base_schedule"),
    }


def _partial(value: Any, name: str) -> dict[str, Any]:
    return {**described(value, name), "_partial_": True}


def _settings(choices: Choices, study: Study, how: Measuring) -> Mapping[str, Any]:
    code = choices.code
    r = code.n - code.k if isinstance(code, NonSystematicCode) else choices.r
    return {
        "k": choices.k,
        "r": r,
        "seed": choices.seed,
        "batch_groups": choices.batch_groups,
        "parity.trainable": PARITY not in choices.frozen,
        "parity.extra_outputs": None,
        "base.max_epochs": choices.base_epochs,
        "base.batch_size": choices.base_batch_size,
        "trainer.max_epochs": choices.epochs,
        **{f"trainable.{name}": False for name in (ENCODER, DECODER) if name in choices.frozen},
        **{_place(name): described(value, f"trainer.{name}") for name, value in choices.trainer.items()},
        **_measuring(how),
    }


def stored_parts(folder: Path, trust: Sequence[str], splits: Splits | None = None) -> tuple[TrainedParts, Splits]:
    """The trained networks of a run directory, and its data.

    Args:
        folder: the run directory.
        trust: modules of the user's that its config may name.
        splits: other data than the run's; None: the run's own.

    Raises:
        UserError: it is no run directory, damaged, or names what is not to be trusted.
    """
    experiment = stored_experiment(folder, trust, splits=splits)
    run = RunDirectory(folder)
    warn_if_unfinished(run)
    return load_trained(experiment, run, "trained"), experiment.splits


def begin_evaluation(run: RunDirectory, source: Path, splits: Splits, how: Measuring, trust: Sequence[str]) -> None:
    """Write what the run directory of an evaluation begins with.

    Args:
        run: the run directory.
        source: that of what was trained.
        splits: its data.
        how: how it is measured.
        trust: modules of the user's that its config may name.

    Raises:
        UserError: the folder holds another run.
    """
    experiment = stored_experiment(source, trust, {"run": str(source), **_measuring(how)}, splits)
    begin(run, experiment, {}, "evaluate")


def _place(name: str) -> str:
    """Where in a config an argument of the Trainer stands."""
    return f"{'optimisation' if name in OF_OPTIMISATION else 'trainer'}.{name}"


def _measuring(how: Measuring) -> dict[str, Any]:
    return {
        "evaluation.seed": how.seed,
        "evaluation.groupings": how.groupings,
        "evaluation.noise_sigmas": list(how.noise_sigmas),
        "evaluation.fractions_unavailable": list(how.fractions_unavailable),
    }
