"""What a sweep searches through, in Hydra's words: ``k=choice(2,3)``, ``seed=range(0,9)``, ``r=int(interval(1,3))``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer

from parity_exp.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class SearchSpace:
    """Overrides of a sweep.

    Attributes:
        fixed: those that all trials have, as they were given, by key.
        searched: what trials choose from, by key. Choices are texts as on the command line.
    """

    fixed: Mapping[str, str]
    searched: Mapping[str, "BaseDistribution"]

    def overrides(self, chosen: Mapping[str, Any]) -> list[str]:
        """The command line of a trial."""
        return [*self.fixed.values(), *(f"{key}={value}" for key, value in chosen.items())]


def search_space(overrides: Sequence[Override]) -> SearchSpace:
    """Read a sweep's overrides; where a key is given twice, the later one counts.

    Raises:
        ConfigError: an interval or range without anything in it, or with a logarithm that has no value.
    """
    fixed: dict[str, str] = {}
    searched: dict[str, BaseDistribution] = {}
    for override in overrides:
        key = override.get_key_element()
        fixed.pop(key, None)
        searched.pop(key, None)
        if not override.is_sweep_override():
            assert override.input_line is not None
            fixed[key] = override.input_line
        else:
            try:
                searched[key] = _distribution(override)
            except ValueError as error:
                raise ConfigError(f"{override.input_line}: {error}") from None
    return SearchSpace(fixed, searched)


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    log = "log" in getattr(sweep, "tags", ())
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None and sweep.end is not None
        if isinstance(sweep.start, int) and isinstance(sweep.end, int):
            return IntDistribution(sweep.start, sweep.end, log=log)
        return FloatDistribution(float(sweep.start), float(sweep.end), log=log)
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        assert sweep.start is not None and sweep.stop is not None
        steps = math.ceil((sweep.stop - sweep.start) / sweep.step) - 1
        if steps < 0:
            raise ValueError("nothing is in this range; its end is not part of it")
        ends = sorted((sweep.start, sweep.start + steps * sweep.step))
        whole = all(isinstance(value, int) for value in (sweep.start, sweep.stop, sweep.step))
        if whole:
            return IntDistribution(int(ends[0]), int(ends[1]), log=log, step=1 if log else abs(int(sweep.step)))
        return FloatDistribution(float(ends[0]), float(ends[1]), step=abs(float(sweep.step)))
    texts = [str(text) for text in override.sweep_iterator(transformer=Transformer.encode)]
    return CategoricalDistribution(texts)
