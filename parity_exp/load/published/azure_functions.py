"""The Azure Functions trace of 2021 (github.com/Azure/AzurePublicDataset)."""

from collections.abc import Iterator
from pathlib import Path

from parity_exp.files.named_columns import rows_of
from parity_exp.load.published.published_load import PublishedLoad
from parity_exp.load.published.requests import Requests
from parity_exp.ranges import AnyQueries, Delay, Factor, Positive, Queries, Text

END, DURATION = "end_timestamp", "duration"
COLUMNS = ("app", "func", END, DURATION)


class AzureFunctions(PublishedLoad):
    """Invocations with ``app,func,end_timestamp,duration``, in seconds: each arrives at its end less its duration.

    Args:
        durations: a query takes as long as the invocation did.
        duration_scale: durations are so many times what the file says.

    The others are those of :class:`~parity_exp.load.published.PublishedLoad`.
    """

    expected = f"a CSV file with the columns {','.join(COLUMNS)}"

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
        durations: bool = True,
        duration_scale: Factor = 1.0,
    ) -> None:
        self.durations = durations
        self.duration_scale = duration_scale
        super().__init__(path, queries, warmup, slo_ms, from_s, until_s, rate_scale, utilisation, wraps)

    @property
    def has_service_times(self) -> bool:
        return self.durations

    def read(self, path: str | Path) -> Requests:
        return Requests(path, self._rows(path))

    def _rows(self, path: str | Path) -> Iterator[tuple[float, float]]:
        for row in rows_of(path, COLUMNS):
            duration_s = row.amount(DURATION)
            yield row.amount(END) - duration_s, duration_s * self.duration_scale
