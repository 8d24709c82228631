"""The table of sections: complete, and what follows from it."""

from parity_exp.analysis.runs.differences import SERVING
from parity_exp.experiment.result_facts import NOT_OF_BASE
from parity_exp.experiment.schema.config import CONFIG
from parity_exp.experiment.sections import OF_TRAINING, SERVED, TABLE, changed_by, of_part


def test_every_key_of_the_config_is_in_the_table_once() -> None:
    names = [section.name for section in TABLE]
    assert sorted(names) == sorted([*CONFIG, "hydra"])


def test_what_serves_is_what_reports_compare_by() -> None:
    assert {*SERVED, "simulate"} == set(SERVING)


def test_stored_runs_keep_what_their_networks_were_made_from() -> None:
    for command in ("resume", "evaluate", "serve"):
        assert not {*OF_TRAINING, "architecture", "base", "k", "code"} & set(changed_by(command))
    assert "dataset" not in changed_by("resume")


def test_base_models_depend_on_data_and_on_how_they_are_trained() -> None:
    assert {"dataset", "base", "architecture", "trainer", "optimisation"} <= set(of_part("data", "base"))
    assert not set(of_part("data", "base")) & set(NOT_OF_BASE)
