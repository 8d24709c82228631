"""What reconstructed answers cost in accuracy, where a simulation knows how accurate they are."""

from pathlib import Path

import pytest

from parity_exp import simulate
from parity_exp.checks import SettingError
from parity_exp.disturbances import Constant, Slowdown
from parity_exp.load import Poisson
from parity_exp.policies import ApproximateBackup, Coded, EqualResources, Parity
from parity_exp.recordings.overall_accuracy import overall_accuracy

CODED = Coded(2, 1, range(3), 2)


def test_the_formula() -> None:
    assert overall_accuracy({"fraction/own": 0.9, "fraction/reconstructed": 0.1}, 0.95, 0.8) == pytest.approx(0.935)
    shares = {"fraction/own": 0.8, "fraction/reconstructed": 0.1, "fraction/default": 0.1}
    assert overall_accuracy(shares, 0.95, 0.8) == pytest.approx(0.84), "a default counts as wrong"
    assert overall_accuracy({"fraction/own": 0.9, "fraction/backup": 0.1}, 0.95, 0.8) is None


def test_every_policy_of_known_accuracy_has_it_in_metrics_table_and_figure(tmp_path: Path) -> None:
    result = simulate(
        {"equal": EqualResources(2, 1), "parity": Parity(2, 1), "backup": ApproximateBackup(2, 1, 0), "coded": CODED},
        Poisson(1_000, utilisation=0.4),
        straggler=Slowdown(0.2, Constant(5.0)),
        accuracy=[0.96, 0.9],
        backup_ratio=0.1,
        show_progress=False,
        folder=tmp_path / "run",
    )
    share = result.metrics["simulate/parity/fraction/reconstructed"]
    assert share > 0.05
    assert result.metrics["simulate/parity/overall_accuracy"] == pytest.approx((1 - share) * 0.96 + share * 0.9)
    assert result.metrics["simulate/equal/overall_accuracy"] == pytest.approx(0.96)
    assert not {"simulate/backup/overall_accuracy", "simulate/coded/overall_accuracy"} & result.metrics.keys()
    table = result.table.set_index("policy")["overall accuracy"]
    assert table["equal"] == pytest.approx(0.96) and table["backup"] != table["backup"]
    assert (tmp_path / "run" / "figures" / "accuracy_against_tail.png").is_file()


@pytest.mark.parametrize("accuracy", [[0.9], [0.9, 1.2], [0.9, 0.8, 0.7]])
def test_what_are_no_two_shares_is_refused(accuracy: list[float]) -> None:
    with pytest.raises(SettingError, match=r"accuracy=.*two shares"):
        simulate([Parity], Poisson(10), accuracy=accuracy, show_progress=False)
