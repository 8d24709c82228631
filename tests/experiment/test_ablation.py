"""The ablation experiment leaves every part of the combined policies out, one at a time."""

import inspect

import pytest

from parity_exp.policies import Adaptive, Hedged, SharedParity
from parity_exp.policies.policy import Policy
from tests.commands.test_one_world import composed

PARTS = {
    Adaptive: {
        "copies_all", "sends_parity", "skips_rare", "hedges", "offers_early", "goes_first", "rests", "copies",
        "copies_wait", "reserve", "parity_apart",
    },
    SharedParity: {"sends_parity", "hedges", "offers_early", "goes_first", "reserve"},
    Hedged: {"urgent", "margin", "max_extra"},
}  # fmt: skip


@pytest.mark.parametrize("policy", PARTS)
def test_every_part_is_left_out_once_and_alone(policy: type[Policy]) -> None:
    chosen = composed("experiment=policies/ablation").redundancy
    defaults = {name: one.default for name, one in inspect.signature(policy).parameters.items()}
    left_out = []
    for name, node in chosen.items():
        if node["_target_"].endswith(f".{policy.__name__}") and "_" in str(name) and name != "shared_parity":
            ((setting, value),) = [one for one in node.items() if one[0] != "_target_"]
            assert value != defaults[setting]
            left_out.append(setting)
    assert len(left_out) == len(set(left_out))
    assert set(left_out) == PARTS[policy]


@pytest.mark.parametrize("policy", [Adaptive, SharedParity])
def test_every_switch_is_a_part(policy: type[Policy]) -> None:
    switches = {name for name, one in inspect.signature(policy).parameters.items() if one.default is True}
    assert switches <= PARTS[policy]
