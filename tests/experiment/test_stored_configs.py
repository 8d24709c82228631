"""The config of a run directory is data, wherever it comes from: it runs nothing and reads no secrets."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from parity_exp.errors import ConfigError
from parity_exp.experiment.stored import stored_config
from parity_exp.recordings.run_directory import RunDirectory
from tests.conftest import QUICK, Run, Trained, run_dirs
from tests.slow_cases import slow_but

COMMANDS = {"evaluate": "run", "serve": "run", "train": "resume"}
"""Commands that make what a stored config describes, and the key that names the run."""


class Payload:
    """Unpickled, it leaves a trace."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path("ran"),)


PAYLOADS: dict[str, dict[str, Any]] = {
    "pandas": {"_target_": "pandas.read_pickle", "filepath_or_buffer": "evil.pkl"},
    "torch": {"_target_": "torch.load", "f": "evil.pkl", "weights_only": False},
    "joblib": {"_target_": "joblib.load", "filename": "evil.pkl"},
    "numpy": {"_target_": "numpy.load", "file": "evil.pkl", "allow_pickle": True},
    "a module in the current folder": {"_target_": "evil.Evil"},
    "a call": {"_target_": "os.system", "command": "touch ran"},
    "a process": {"_target_": "subprocess.run", "args": ["touch", "ran"]},
    "a module of a module": {
        "_target_": "parity_exp.recordings.environment.subprocess.run",
        "args": ["touch", "ran"],
    },
    "builtins": {"_target_": "builtins.exec", "_args_": ["open('ran', 'w')"]},
    "a command of the package": {"_target_": "parity_exp.cli.main", "arguments": ["train"]},
    "a writer of the package": {"_target_": "parity_exp.files.writing.write_text", "path": "ran", "text": ""},
    "a loader of a library": {"_target_": "torchvision.datasets.folder.torch.load", "f": "evil.pkl"},
    "a function of torch.nn": {"_target_": "torch.nn.modules.module.functools.partial", "_args_": ["os.system"]},
    "Hydra": {"_target_": "hydra.utils.call", "config": {}},
    "pathlib": {"_target_": "pathlib.Path.touch", "self": "ran"},
}

PLACES = {
    "encoder.position_code": None,
    "objective": None,
    "optimizer": None,
    "architecture": None,
    "tracker": None,
    "dataset.augmentation": None,
    "objective.terms.mse": None,
    "trainer.callbacks": "listed",
}


@pytest.fixture
def evil(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what a payload needs to leave a trace."""
    (folder / "evil.pkl").write_bytes(pickle.dumps(Payload()))
    (folder / "evil.py").write_text("open('ran', 'w')\nclass Evil:\n    pass\n")
    monkeypatch.syspath_prepend(folder)
    return folder


def tampered(run_dir: Path, place: str, node: Any) -> None:
    """Put something else into a run's config."""
    config = OmegaConf.load(run_dir / "config.yaml")
    OmegaConf.update(config, place, node, merge=False, force_add=True)
    (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(config))


def refused(run: Run, capfd: pytest.CaptureFixture[str], command: str, run_dir: Path, *more: str) -> str:
    capfd.readouterr()
    assert run(command, f"{COMMANDS[command]}={run_dir}", *more) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert not Path("ran").exists() and not Path("outputs").exists()
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_payload_is_not_run_by_any_command(
    run: Run, capfd: pytest.CaptureFixture[str], evil: Path, copied: Path, command: str
) -> None:
    tampered(copied, "encoder.position_code", PAYLOADS["pandas"])
    line = refused(run, capfd, command, copied)
    assert "pandas.read_pickle at encoder.position_code" in line and "trust=[pandas]" in line


PAIRS = [(payload, place) for payload in PAYLOADS for place in PLACES]


@pytest.mark.parametrize(
    ("payload", "place"),
    slow_but([pair for pair in PAIRS if "pandas" in pair or "encoder.position_code" in pair], PAIRS, ": ".join),
)
def test_no_payload_is_made_wherever_it_stands(
    folder: Path, evil: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch, payload: str, place: str
) -> None:
    run_dir = folder / "foreign"
    run_dir.mkdir()
    (run_dir / "config.yaml").write_text((trained() / "config.yaml").read_text())
    node = PAYLOADS[payload]
    tampered(run_dir, place, [node] if PLACES[place] else node)
    monkeypatch.setattr("parity_exp.experiment.stored._own_targets", set)
    monkeypatch.setattr("parity_exp.experiment.stored._replaced", lambda _: [])
    with pytest.raises(ConfigError, match=r"config\.yaml wants to run"):
        stored_config(RunDirectory(run_dir), "run", OmegaConf.create({"trust": []}))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:SOME_SECRET}",
        "a ${oc.env:SOME_SECRET} b",
        "\\${oc.env:SOME_SECRET}",
        "${oc.decode:${oc.env:SOME_SECRET}}",
        "${oc.select:tracker.name}",
        "${hydra:runtime.cwd}",
        "${now:%Y}",
    ],
)
def test_interpolations_that_call_something_are_not_resolved(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], copied: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SOME_SECRET", "the-secret")
    plain = yaml.safe_load((copied / "config.yaml").read_text())
    plain["dataset"]["name"] = text
    (copied / "config.yaml").write_text(yaml.safe_dump(plain))
    for command in COMMANDS:
        line = refused(run, capfd, command, copied)
        assert "dataset.name" in line and "interpolations" in line and "the-secret" not in line


def test_an_interpolation_made_of_parts_is_not_resolved_either(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    plain = yaml.safe_load((copied / "config.yaml").read_text())
    plain |= {"one": "$", "two": "{oc.env:HOME}"}
    plain["dataset"]["name"] = "${one}${two}"
    (copied / "config.yaml").write_text(yaml.safe_dump(plain))
    assert "dataset.name" in refused(run, capfd, "evaluate", copied)


def test_a_name_put_together_from_values_is_looked_at_as_well(
    run: Run, evil: Path, capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    plain = yaml.safe_load((copied / "config.yaml").read_text())
    plain |= {"one": "pandas.read_pickle"}
    plain["objective"] = {"_target_": "${one}", "filepath_or_buffer": "evil.pkl"}
    (copied / "config.yaml").write_text(yaml.safe_dump(plain))
    assert "pandas.read_pickle at objective" in refused(run, capfd, "train", copied)


def test_what_a_run_trusts_itself_does_not_count(
    run: Run, evil: Path, capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    tampered(copied, "objective", {"_target_": "evil.Evil"})
    tampered(copied, "trust", ["evil"])
    assert "evil.Evil at objective" in refused(run, capfd, "evaluate", copied)


def test_what_the_command_line_replaces_may_be_anything(
    run: Run, evil: Path, capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    tampered(copied, "tracker", {"_target_": "evil.Evil"})
    assert "evil.Evil at tracker" in refused(run, capfd, "evaluate", copied)
    assert run("evaluate", f"run={copied}", "tracker=none") == 0
    assert not Path("ran").exists()


def test_settings_of_a_pool_that_run_code_are_given_anew(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    ray = yaml.safe_load((Path(__file__).parents[2] / "conf" / "pool" / "ray.yaml").read_text())
    tampered(copied, "pool", ray | {"runtime_env": {"pip": ["evil"]}})
    assert "pool.runtime_env" in refused(run, capfd, "serve", copied)
    tampered(copied, "pool", ray | {"address": "elsewhere:6379"})
    assert "pool.address=elsewhere:6379" in refused(run, capfd, "serve", copied)


@pytest.mark.slow
def test_classes_of_ones_own_are_made_where_their_module_is_trusted_or_a_config_of_ones_own_names_them(
    run: Run, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "my_conf" / "encoder").mkdir(parents=True)
    (folder / "my_conf" / "encoder" / "mean.yaml").write_text("_target_: my_own_codes.MeanEncoder\n")
    (folder / "my_own_codes.py").write_text(
        "from parity_exp.coding import Encoder\n"
        "class MeanEncoder(Encoder):\n"
        "    def forward(self, prepared):\n"
        "        return prepared.mean(dim=1, keepdim=True)\n"
    )
    monkeypatch.syspath_prepend(folder)
    mine = "hydra.searchpath=[file://my_conf]"
    assert run("train", *QUICK, "tracker=none", mine, "encoder=mean") == 0
    (run_dir,) = run_dirs(folder)
    capfd.readouterr()
    assert run("evaluate", f"run={run_dir}") == 2
    assert "trust=[my_own_codes]" in capfd.readouterr().err
    assert run("evaluate", f"run={run_dir}", "trust=[my_own_codes]") == 0
    assert run("evaluate", f"run={run_dir}", mine) == 0


def test_a_checkpoint_with_code_is_not_run(
    run: Run, evil: Path, capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    for name in ("base.ckpt", "parity-0.ckpt"):
        before = (copied / "checkpoints" / name).read_bytes()
        (copied / "checkpoints" / name).write_bytes(pickle.dumps(Payload()))
        for command in ("evaluate", "serve"):
            assert name in refused(run, capfd, command, copied)
        (copied / "checkpoints" / name).write_bytes(before)


@pytest.mark.slow
def test_reports_and_simulations_make_nothing_of_what_is_stored(
    run: Run, evil: Path, capfd: pytest.CaptureFixture[str], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_SECRET", "the-secret")
    tampered(copied, "objective", PAYLOADS["a module in the current folder"])
    plain = yaml.safe_load((copied / "config.yaml").read_text())
    plain["dataset"]["name"] = "${oc.env:SOME_SECRET}"
    (copied / "config.yaml").write_text(yaml.safe_dump(plain))
    assert run("report", f"runs={copied}") == 0
    assert run("simulate", f"simulate.calibrate={copied}", "tracker=none") == 2
    assert not Path("ran").exists()
    for path in Path("outputs").rglob("*"):
        assert not path.is_file() or b"the-secret" not in path.read_bytes()


def test_the_payloads_would_leave_a_trace(evil: Path) -> None:
    pickle.loads((evil / "evil.pkl").read_bytes())
    assert Path("ran").exists()
