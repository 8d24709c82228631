import pandas as pd

from parity_exp.analysis.figures.codes_compared import degraded_by_k
from parity_exp.analysis.pages.comparison_findings import encoder_findings
from parity_exp.analysis.runs.best_settings import best_settings

VAL, OLD = "train/best_val_degraded_accuracy", "train/best_val_reconstruction_accuracy"
TEST = "test/degraded_accuracy"


def rows(**more: object) -> pd.DataFrame:
    """Two settings of an encoder at two values of k; what is better in validation is worse on the test split."""
    return pd.DataFrame(
        {
            "dataset": "digits", "architecture": "MLP", "encoder": "addition", "decoder": "subtraction", "r": 1,
            "k": [2, 2, 2, 2, 3, 3], "variant": ["a", "a", "b", "b", "a", "b"],
            VAL: [0.8, 0.9, 0.7, 0.7, 0.5, 0.6],
            TEST: [0.61, 0.63, 0.91, 0.93, 0.95, 0.55],
            "test/available_accuracy": 0.97,
            **more,
        }
    )  # fmt: skip


def test_settings_are_chosen_by_validation_and_told_by_the_test_split() -> None:
    best = best_settings(rows(), ["k"])
    assert best["degraded"].to_dict() == {2: 0.62, 3: 0.55}
    assert best["chosen_by"].round(6).to_dict() == {2: 0.85, 3: 0.6}
    (sentence,) = encoder_findings(rows())
    assert "k = 2: addition 62.0 %" in sentence and "k = 3: addition 55.0 %" in sentence


def test_the_line_of_an_encoder_goes_through_what_validation_chose() -> None:
    plate = degraded_by_k(rows())
    assert plate is not None
    lines = [line.get_ydata() for line in plate.figure.axes[0].get_lines()]
    assert any(list(line) == [0.62, 0.55] for line in lines)


def test_runs_of_earlier_versions_are_chosen_by_what_they_have() -> None:
    old = rows(**{OLD: [0.1, 0.1, 0.2, 0.2, 0.1, 0.2]}).drop(columns=VAL)
    assert best_settings(old, ["k"])["degraded"].to_dict() == {2: 0.92, 3: 0.55}


def test_without_validation_values_nothing_is_chosen() -> None:
    nothing = rows().drop(columns=VAL)
    assert best_settings(nothing, ["k"]).empty
    (sentence,) = encoder_findings(nothing)
    assert "without validation values to choose by" in sentence and "9" not in sentence.partition("k = 2")[2]
    assert degraded_by_k(nothing) is not None
    alone = nothing[nothing["variant"] == "a"]
    assert best_settings(alone, ["k"])["degraded"].to_dict() == {2: 0.62, 3: 0.95}


def test_a_value_that_some_lack_chooses_nothing() -> None:
    some = rows()
    some.loc[0, VAL] = float("nan")
    assert list(best_settings(some, ["k"]).index) == [3]


def test_encoders_are_ranked_by_validation() -> None:
    other = rows(encoder="concat", **{VAL: 0.95, TEST: 0.1})
    (sentence,) = encoder_findings(pd.concat([rows(), other]))
    assert "k = 2: concat 10.0 %, addition 62.0 %" in sentence
