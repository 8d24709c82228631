import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from parity_exp.errors import ConfigError
from parity_exp.experiment.searching.search_space import SearchSpace, search_space

optuna = pytest.importorskip("optuna", reason="parity_exp[optuna] is not installed")
Categorical = optuna.distributions.CategoricalDistribution
Float, Int = optuna.distributions.FloatDistribution, optuna.distributions.IntDistribution


def parsed(*words: str) -> SearchSpace:
    return search_space(OverridesParser.create().parse_overrides(list(words)))


@pytest.mark.parametrize(
    ("word", "distribution"),
    [
        ("k=2,3", Categorical(("2", "3"))),
        ("k=choice(2,3)", Categorical(("2", "3"))),
        ("encoder=choice(addition,concat)", Categorical(("addition", "concat"))),
        ("x=[1,2],null,'a b'", Categorical(("[1,2]", "null", "'a b'"))),
        ("k=range(2,5)", Int(2, 4)),
        ("k=range(2,9,3)", Int(2, 8, step=3)),
        ("k=range(5,2,-1)", Int(3, 5)),
        ("x=range(0,1,0.25)", Float(0, 0.75, step=0.25)),
        ("k=tag(log,range(1,101))", Int(1, 100, log=True)),
        ("x=interval(0,1)", Float(0, 1)),
        ("x=tag(log,interval(1e-4,1e-1))", Float(1e-4, 1e-1, log=True)),
        ("k=int(interval(1,8))", Int(1, 8)),
        ("k=int(tag(log,interval(1,8)))", Int(1, 8, log=True)),
        ("+optimizer.lr=interval(1,2)", Float(1, 2)),
    ],
)
def test_hydras_words_say_what_is_searched_through(word: str, distribution: object) -> None:
    space = parsed(word, "tracker=none")
    assert space.searched == {word.partition("=")[0]: distribution}
    assert space.overrides({}) == ["tracker=none"]


def test_what_is_no_sweep_is_passed_on_as_it_was_given() -> None:
    given = ["~scheduler", "outputs='a b'", "+new={a:1,b:[2,3]}", "++x=null", "architecture@parity.architecture=lenet"]
    space = parsed(*given, "k=2,3")
    assert space.overrides({"k": "3"}) == [*given, "k=3"]


def test_the_later_of_two_words_counts() -> None:
    assert not parsed("k=2,3", "k=4").searched
    assert parsed("k=4", "k=2,3").overrides({"k": "2"}) == ["k=2"]


@pytest.mark.parametrize(
    "word", ["x=tag(log,interval(0,1))", "x=interval(2,1)", "k=range(3,3)", "k=tag(log,range(0,4))"]
)
def test_nothing_to_choose_from_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=r"^[kx]="):
        parsed(word)
