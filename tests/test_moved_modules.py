"""Old names of modules."""

import importlib
import pickle
import subprocess
import sys

import pytest

from parity_exp.moved_modules import NOW


@pytest.mark.parametrize("old", sorted(NOW))
def test_an_old_name_gives_the_module_that_is_there_now(old: str) -> None:
    now = importlib.import_module(f"parity_exp.{NOW[old]}")

    assert importlib.import_module(f"parity_exp.{old}") is now
    assert now.__name__ == now.__spec__.name == f"parity_exp.{NOW[old]}"


def test_classes_are_the_same_by_both_names() -> None:
    from parity_exp.serving.policies.parity import Parity as OldName

    from parity_exp.policies import Parity

    assert OldName is Parity
    assert pickle.loads(pickle.dumps(Parity)) is Parity


def test_an_old_name_can_be_the_first_that_is_imported() -> None:
    program = "import parity_exp.serving.policies.parity as old; import parity_exp.policies.parity as new; "
    subprocess.run([sys.executable, "-c", program + "assert old is new"], check=True)
