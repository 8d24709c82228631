"""Traces of language models: how many tokens go in and come out, and how long that takes."""

from pathlib import Path

from parity_exp.load.published.published_load import PublishedLoad
from parity_exp.ranges import AnyQueries, Delay, Factor, Positive, Queries, Text


class TokenLoad(PublishedLoad):
    """A trace whose requests have numbers of tokens.

    A request takes ``base_ms + input_ms * input tokens + output_ms * output tokens``, where one of the three is given;
    otherwise as long as any other.

    Args:
        base_ms: what any request takes.
        input_ms: what an input token takes.
        output_ms: what an output token takes.

    The others are those of :class:`~parity_exp.load.published.PublishedLoad`.
    """

    def __init__(
        self,
        path: Text | Path | None,
        queries: Queries | None = None,
        warmup: AnyQueries = 0,
        slo_ms: Positive | None = None,
        from_s: Delay = 0.0,
        until_s: Positive | None = None,
        rate_scale: Factor | None = None,
        utilisation: Factor | None = None,
        wraps: bool = False,
        base_ms: Delay = 0.0,
        input_ms: Delay = 0.0,
        output_ms: Delay = 0.0,
    ) -> None:
        self.base_ms = base_ms
        self.input_ms = input_ms
        self.output_ms = output_ms
        super().__init__(path, queries, warmup, slo_ms, from_s, until_s, rate_scale, utilisation, wraps)

    @property
    def has_service_times(self) -> bool:
        return bool(self.input_ms or self.output_ms or self.base_ms)

    def takes_s(self, input_tokens: float, output_tokens: float) -> float:
        """How long a request takes."""
        return (self.base_ms + self.input_ms * input_tokens + self.output_ms * output_tokens) / 1e3
