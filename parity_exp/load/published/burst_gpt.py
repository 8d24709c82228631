"""BurstGPT: requests to ChatGPT and GPT-4 on Azure (github.com/HPMLL/BurstGPT, arXiv 2401.17644)."""

from collections.abc import Iterator
from pathlib import Path

from parity_exp.checks import SettingError
from parity_exp.errors import UserError
from parity_exp.files.named_columns import rows_of
from parity_exp.load.published.requests import Requests
from parity_exp.load.published.token_load import TokenLoad
from parity_exp.ranges import AnyQueries, Delay, Factor, Positive, Queries, Text

TIME, ELAPSED, INPUT, OUTPUT = "Timestamp", "Elapsed time", "Request tokens", "Response tokens"
MODEL, KIND = "Model", "Log Type"


class BurstGpt(TokenLoad):
    """Requests with ``Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type``.

    Times are seconds. Files of the first release lack ``Session ID`` and ``Elapsed time``, which only ``durations``
    needs.

    Args:
        durations: a query takes as long as the request did (``Elapsed time``).
        model: only requests to this one; None: all.
        log_type: only requests of this kind, such as ``API log``; None: all.

    The others are those of :class:`~parity_exp.load.published.token_load.TokenLoad`.
    """

    expected = f"a CSV file with the columns {TIME},{INPUT},{OUTPUT} and others"

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
        durations: bool = False,
        model: Text | None = None,
        log_type: Text | None = None,
    ) -> None:
        if durations and (base_ms or input_ms or output_ms):
            raise SettingError("{durations}=true: leave {base_ms}, {input_ms} and {output_ms} at 0, or durations false")
        self.durations = durations
        self.only = {name: value for name, value in ((MODEL, model), (KIND, log_type)) if value is not None}
        super().__init__(
            path, queries, warmup, slo_ms, from_s, until_s, rate_scale, utilisation, wraps,
            base_ms, input_ms, output_ms,
        )  # fmt: skip

    @property
    def has_service_times(self) -> bool:
        return self.durations or super().has_service_times

    def read(self, path: str | Path) -> Requests:
        return Requests(path, self._rows(path))

    def _rows(self, path: str | Path) -> Iterator[tuple[float, float]]:
        needed = (TIME, *((ELAPSED,) if self.durations else ()), INPUT, OUTPUT, *self.only)
        met = not self.only
        for row in rows_of(path, needed):
            if any(row.cells[name] != value for name, value in self.only.items()):
                continue
            met = True
            tokens = row.amount(INPUT), row.amount(OUTPUT)
            yield row.amount(TIME), row.amount(ELAPSED) if self.durations else self.takes_s(*tokens)
        if not met:
            wanted = " and ".join(f"{name}={value}" for name, value in self.only.items())
            raise UserError(f"{path}: no row has {wanted}")
