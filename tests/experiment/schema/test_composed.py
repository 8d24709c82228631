"""What a command line composes is refused in one line before anything is loaded, trained or written."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from parity_exp.errors import ConfigError
from parity_exp.experiment.config_folder import config_folder
from parity_exp.experiment.explanations import explanation
from parity_exp.experiment.schema.composed import check_composed
from parity_exp.experiment.schema.config import CONFIG
from tests.conftest import Run


def refused(*overrides: str, command: str = "train") -> str | None:
    """The line that a command line is refused with; None: it is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["parity-exp", *overrides])
        return _refused(overrides, command)


def _refused(overrides: Sequence[str], command: str) -> str | None:
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = compose("config", list(overrides))
        check_composed(config, overrides, command)
    except Exception as error:
        line = explanation(error)
        assert line is not None and "\n" not in line, error
        return line
    return None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("evaluation.groupings=0", "evaluation.groupings=0: expected a whole number, 1 or more"),
        ("evaluation.fractions_unavailable=[a]", "evaluation.fractions_unavailable=['a']: expected a list of numbers"),
        ("evaluation.fractions_unavailable=[]", "at least one of them"),
        ("trainer.max_epochs=null", "trainer.max_epochs=null: expected a whole number, 1 or more"),
        ("trainer.max_epochs=0", "trainer.max_epochs=0"),
        ("trainer.max_epochs=-1", "trainer.max_epochs=-1"),
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc"),
        ("batch_groups=-4", "batch_groups=-4: expected a whole number or null, 1 or more"),
        ("optimisation.gradient_clip_val=abc", "optimisation.gradient_clip_val=abc: expected a number or null"),
        ("trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch=0"),
        ("trainer.check_val_every_n_epoch=5 base.max_epochs=1", "base.max_epochs=1, before its first validation"),
        ("trainer.check_val_every_n_epoch=5 trainer.max_epochs=1", "trainer.max_epochs=1"),
        ("dataset.limit=abc", "dataset.limit=abc: expected a whole number or null"),
        ("dataset.limit=-5", "dataset.limit=-5: expected a whole number or null, 1 or more"),
        ("dataset.size=0", "dataset.size=0: expected a whole number, 1 or more"),
        ("seed=12345678901234567890", "seed=12345678901234567890: expected a whole number, 0 or more and at most"),
        ("base.seed=12345678901234567890", "base.seed=12345678901234567890"),
        ("architecture.hidden=[0]", "architecture.hidden=[0]: expected a list of whole numbers, each 1 or more"),
        ("pool.instances=100000", "pool.instances=100000: expected a whole number, 1 or more and at most 20000"),
        ("recipe=[best,parm]", "recipe=[best,parm]: of recipe one is chosen"),
        ("setting=[mnist_mlp,mnist_mlp_small]", "of setting one is chosen"),
        ("encoder=[addition,concat]", "encoder=[addition,concat]: of encoder one is chosen"),
        ("architecture@base.architecture=[mlp,lenet]", "of architecture one is chosen"),
        ("redundancy=[parity,parity]", "redundancy=[parity,parity]: parity is there twice"),
        ("straggler=[shuffle,shuffle_heavy]", "two of them have the same name, and only shuffle"),
        ("redundancy=[]", "redundancy: expected a list of policies"),
        ("redundancy=3", "redundancy=3: a config group takes the name of a choice"),
        ("encoder={}", "encoder={}: a config group takes the name of a choice"),
        ("encoder=null", "encoder=null: a config group takes the name of a choice"),
        ("run=outputs/train/x", "run=outputs/train/x: a training begins anew"),
        ("position_code=modulation encoder=concat", "position_code=modulation: the encoder"),
        ("position_code.seed=3 encoder=concat", "position_code.seed=3: the encoder"),
        ("recipe=learning_a_code initialisation=split", "parity.trainable=false"),
        ("base.scheduler=cosine", "scheduler@base.scheduler=cosine"),
        ("+encoder.k=4", "encoder.k: the program knows it"),
        ("+encoder.widht=4 encoder=conv", "did you mean width?"),
        ("+base.epochs=3", "base.epochs: no such key"),
        ("encoder._target_=nosuch.Encoder", "encoder._target_=nosuch.Encoder: there is no module nosuch"),
        ("encoder._target_=torch.nn.Linear", "expected a subclass of parity_exp.coding.Encoder"),
        ("optimizer._partial_=false", "optimizer._partial_=False: expected true"),
        ("~k", "k: it is missing"),
        ("~trainer.max_epochs", "trainer.max_epochs: it is missing"),
        ("load.queries=???", "load.queries=???: expected a value"),
        ("seed=${foo}", "seed: Interpolation key 'foo' not found"),
        ("base=3", "base"),
        ("objective.weights.mse=-1", "objective.weights.mse=-1: expected a number, 0 or more"),
        ("straggler=[contention] straggler.contention.process.size=0", "straggler.contention.process.size=0"),
        ("plan.slo_ms=[3,-1]", "plan.slo_ms=-1: expected a number"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(overrides: str, words: str) -> None:
    line = refused(*overrides.split())
    assert line is not None and words in line


@pytest.mark.parametrize(
    "overrides",
    [
        "",
        "encoder=concat",
        "position_code=none encoder=concat",
        "straggler=[]",
        "straggler=[none,shuffle]",
        "redundancy=[berrut,nercc,parity]",
        "+trainer.fast_dev_run=true",
        "+trainer.limit_train_batches=0.5",
        "dataset.limit=null",
        "load.slo_ms=null",
        "optimizer.lr=1",
        "+mine=3",
        "architecture=torchvision +architecture.width_mult=0.5 architecture.name=mobilenet_v2",
    ],
)
@pytest.mark.one_of_many
def test_what_can_be_is_not(overrides: str) -> None:
    assert refused(*overrides.split()) is None


def test_simulations_do_not_look_at_networks_and_reports_only_at_runs() -> None:
    assert refused("load.queries=0", command="simulate") is not None
    assert refused("encoder._target_=nosuch.Encoder", command="simulate") is None
    assert refused("runs=3", command="report") is not None


TRAINED_ANEW = {"url", "run", "runs"}
OF_NETWORKS = {
    "backup", "base", "batch_groups", "compare", "endpoint", "epochs", "evaluation", "generator",
    "groups", "grpc_port", "initialisation", "members", "multiplexed_backup", "objective", "optimisation", "optimizer",
    "port", "position_code", "resume", "runs", "scheduler", "trainable",
}  # fmt: skip
IGNORED = {
    "train": {*TRAINED_ANEW, "compare"},
    "run": {*TRAINED_ANEW, "compare", "resume"},
    "compare": {*TRAINED_ANEW, "resume"},
    "simulate": {*OF_NETWORKS, "client", "dataset", "model", "model_version", "name", "task", "url"},
    "load": {
        *OF_NETWORKS, "architecture", "code", "decoder", "encoder", "frontend_split", "frontends", "parity", "plan",
        "pool", "queue", "redundancy", "simulate", "straggler",
    },
    "report": {*CONFIG} - {"outputs", "runs", "tracker", "trust", "trainer", "acceleration"},
}  # fmt: skip
"""What each command does nothing with where no run is given; others cannot do without one, and say what they take."""


@pytest.mark.parametrize("command", IGNORED)
def test_what_a_command_does_not_look_at_is_refused_in_a_line(command: str) -> None:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config, with_run = compose("config"), compose("config", ["run=x"])
    for key in IGNORED[command]:
        # That a training begins anew is said in other words, and of what is really there.
        given = with_run if key == "run" and command in ("train", "run") else config
        for override in (f"{key}=x", f"++{key}.y=x"):
            with pytest.raises(ConfigError, match=f"^{re.escape(override)}: .*would change nothing"):
                check_composed(given, [override], command)
    check_composed(config, [f"++{key}.y=x" for key in {*CONFIG} - IGNORED[command]], command)


@pytest.mark.parametrize(
    ("command", "override", "words"),
    [
        (
            "report",
            "run=outputs/train/x",
            "report does not look at run, so that would change nothing; did you mean runs=?",
        ),
        ("report", "recipe=fast", "report does not look at recipe"),
        ("report", "~load", "report does not look at load"),
        ("simulate", "architecture@backup.architecture=lenet", "simulate does not look at backup"),
        ("simulate", "dataset=mnist", "simulate does not look at dataset"),
        ("load", "redundancy=hedged", "load does not look at redundancy"),
    ],
)
def test_choices_are_refused_likewise(command: str, override: str, words: str) -> None:
    line = refused(override, command=command)
    assert line is not None and words in line


def test_what_commands_look_at_is_not_refused() -> None:
    assert refused("distribution@simulate.service_time=pareto", "experiment=parm/fig9a", command="simulate") is None
    assert refused("ejection@redundancy.hedged.ejection=envoy", command="load") is not None
    assert refused("runs=[a,b]", "outputs=here", "tracker=none", "trainer=cpu", command="report") is None
    assert refused("trainer.accelerator=cpu", command="simulate") is None
    assert refused("dataset=mnist", "load.rate_qps=3", command="load") is None


@pytest.mark.parametrize("command", ["train", "evaluate", "serve", "simulate", "run"])
def test_every_command_looks_before_it_begins(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(command, "pool.instances=100000", "run=nosuch") == 2
    assert capfd.readouterr().err.startswith(f"parity-exp {command}: pool.instances=100000: expected")
    assert not list(folder.iterdir())
