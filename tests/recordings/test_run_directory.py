"""Configs and small files of a run directory, written and read back."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from parity_exp.errors import UserError
from parity_exp.experiment.config_folder import config_folder
from parity_exp.recordings.plain_yaml import to_yaml
from parity_exp.recordings.run_directory import RunDirectory

ODD = {
    "k": 2,
    "texts": ["1e3", "1_000", "0x10", "nan", "yes", "null", "~", "2026-01-01", " a ", "", "ä: b", "a\nb", "1.5", "-.5"],
    "numbers": [1, 1.5, 1e-9, 3e22, float("inf"), True, None],
    "nested": {"empty": {}, "none": [], "deep": [{"a": [1, {"b": None}]}]},
    "twice": [[1, 2], [1, 2]],
}


def test_a_config_comes_back_as_it_was_from_every_reader(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_config(ODD)
    assert run.read_config() == ODD
    assert OmegaConf.to_container(OmegaConf.load(run.config)) == ODD
    assert yaml.safe_load(run.config.read_text()) == ODD


def test_a_composed_config_is_written_with_its_values_and_as_the_last_release_wrote_it() -> None:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", ["encoder=concat"])
    text = to_yaml(config)
    assert "${" not in text
    assert text == OmegaConf.to_yaml(config, resolve=True)


@pytest.mark.parametrize("text", ["", "k: [", "[]", "encoder: 3", "k: two", "k: 2026-99-99", "\x00"])
def test_a_damaged_config_is_refused_in_one_line_with_its_path(tmp_path: Path, text: str) -> None:
    run = RunDirectory(tmp_path)
    run.config.write_text(text)
    with pytest.raises(UserError) as refused:
        run.read_config()
    assert str(refused.value).startswith(str(run.config)) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "given"),
    [("- k=2\n- seed=1\n", ["k=2", "seed=1"]), ("[]\n", []), ("", []), ("a: 1", None), ("[", None), (None, None)],
)
def test_what_was_given_on_the_command_line_is_read_as_far_as_it_is_there(
    tmp_path: Path, text: str | None, given: list[str] | None
) -> None:
    run = RunDirectory(tmp_path)
    if text is not None:
        run.overrides.parent.mkdir()
        run.overrides.write_text(text)
    assert run.read_overrides() == given


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_damaged_metrics_are_refused_in_one_line_with_their_path(tmp_path: Path, text: str) -> None:
    run = RunDirectory(tmp_path)
    run.metrics.write_text(text)
    with pytest.raises(UserError) as refused:
        run.read_metrics()
    assert str(refused.value).startswith(str(run.metrics)) and "\n" not in str(refused.value)


def test_a_run_tells_what_it_ran_on(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.read_environment() == {}
    run.write_environment(7, ["cpu (2 threads)"])
    content: dict[str, Any] = run.read_environment()
    assert content["seed"] == 7 and content["devices"] == ["cpu (2 threads)"]
    assert {"torch", "hydra-core", "numpy"} <= content["packages"].keys()
