"""Writes what serving and simulation recorded of a policy; :mod:`~parity_exp.recordings.reader` reads it back."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]
from hdrh.log import HistogramLogWriter  # type: ignore[import-untyped]
from numpy.typing import NDArray

from parity_exp.files.writing import write_bytes, write_text
from parity_exp.recordings import names

INTERVAL_S = 1.0
LONGEST_US = 3_600_000_000  # an hour: what the histograms reach at least
SIGNIFICANT_DIGITS = 3
EXACT_BITS = 10  # that come after the first and tell buckets apart, for so many digits


def write_recordings(folder: Path, policy: str, queries: pd.DataFrame, tasks: pd.DataFrame) -> list[Path]:
    """Write the queries, tasks and latency log of a policy; return the paths.

    Raises:
        OSError: the folder is missing, read-only or full.
    """
    paths = [folder / names.QUERIES(policy), folder / names.TASKS(policy)]
    for path, table in zip(paths, (queries, tasks), strict=True):
        stream = io.BytesIO()
        table.to_parquet(stream, index=False)
        write_bytes(path, stream.getvalue())
    log = folder / names.LATENCIES(policy)
    write_text(log, latency_log(queries))
    return [*paths, log]


def latency_log(queries: pd.DataFrame) -> str:
    """An HdrHistogram log, format 1.2: a histogram of latencies in microseconds for each second of completions.

    The interval's greatest value, its third column, is in milliseconds.
    """
    stream = io.StringIO()
    log = HistogramLogWriter(stream)
    log.output_log_format_version()
    log.output_comment("[latency from the scheduled arrival, in microseconds; times from the beginning of the run]")
    log.output_legend()
    longest_us = max(LONGEST_US, int(np.ceil(queries["latency_ms"].max() * 1000))) if len(queries) else LONGEST_US
    interval = np.floor(queries["completed_s"].to_numpy() / INTERVAL_S).astype(np.int64)
    latency_us = np.rint(queries["latency_ms"].to_numpy() * 1000).clip(1, longest_us).astype(np.int64)
    order = np.argsort(interval, kind="stable")
    found, counts = np.unique(interval, return_counts=True)
    ends = np.cumsum(counts)
    for index, first, last in zip(found, ends - counts, ends, strict=True):
        values = latency_us[order[first:last]]
        histogram = HdrHistogram(1, longest_us, SIGNIFICANT_DIGITS)
        for value, count in zip(*np.unique(_buckets(values), return_counts=True), strict=True):
            histogram.record_value(int(value), int(count))
        histogram.set_start_time_stamp(index * INTERVAL_S * 1000)
        histogram.set_end_time_stamp((index + 1) * INTERVAL_S * 1000)
        log.output_interval_histogram(histogram, max_value_unit_ratio=1000.0)
    return stream.getvalue()


def _buckets(latency_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least value in the histogram's bucket of each, so that each bucket is recorded once."""
    spare_bits = np.maximum(np.floor(np.log2(latency_us)).astype(np.int64) - EXACT_BITS, 0)
    return latency_us >> spare_bits << spare_bits
