"""Azure LLM inference traces of 2023, 2024 and 2025 (github.com/Azure/AzurePublicDataset)."""

from collections.abc import Iterator
from pathlib import Path

from parity_exp.errors import UserError
from parity_exp.files.date_time import seconds_of
from parity_exp.files.named_columns import rows_of
from parity_exp.load.published.requests import Requests
from parity_exp.load.published.token_load import TokenLoad
from parity_exp.ranges import AnyQueries, Delay, Factor, Positive, Queries, Text

TIME, INPUT, OUTPUT, IMAGES = "TIMESTAMP", "ContextTokens", "GeneratedTokens", "NumImages"


class AzureLlm(TokenLoad):
    """Requests with ``TIMESTAMP,ContextTokens,GeneratedTokens``, and of multimodal models ``NumImages``.

    Timestamps are date-times with up to seven digits behind the second, with a time zone (2024) or without.

    Args:
        image_ms: what an image takes, for files with ``NumImages``.

    The others are those of :class:`~parity_exp.load.published.token_load.TokenLoad`.
    """

    expected = f"a CSV file with the columns {TIME},{INPUT},{OUTPUT}"

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
        image_ms: Delay = 0.0,
    ) -> None:
        self.image_ms = image_ms
        super().__init__(
            path, queries, warmup, slo_ms, from_s, until_s, rate_scale, utilisation, wraps,
            base_ms, input_ms, output_ms,
        )  # fmt: skip

    @property
    def has_service_times(self) -> bool:
        return super().has_service_times or bool(self.image_ms)

    def read(self, path: str | Path) -> Requests:
        return Requests(path, self._rows(path))

    def _rows(self, path: str | Path) -> Iterator[tuple[float, float]]:
        origin_s: int | None = None
        for row in rows_of(path, (TIME, INPUT, OUTPUT)):
            found = seconds_of(row.cells[TIME])
            if found is None:
                raise row.refuse(TIME, "a date-time such as 2023-11-16 18:17:03.9799600")
            takes_s = self.takes_s(row.amount(INPUT), row.amount(OUTPUT))
            if IMAGES in row.cells:
                takes_s += self.image_ms * row.amount(IMAGES) / 1e3
            elif self.image_ms:
                raise UserError(f"{path}: row 1: column {IMAGES} is missing, which image_ms={self.image_ms:g} is for")
            whole_s, fraction_s = found
            origin_s = whole_s if origin_s is None else origin_s
            yield whole_s - origin_s + fraction_s, takes_s
