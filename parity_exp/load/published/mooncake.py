"""The traces of Mooncake: requests to Kimi (github.com/kvcache-ai/Mooncake, FAST 2025)."""

import json
from collections.abc import Iterator
from pathlib import Path

from parity_exp.errors import UserError
from parity_exp.load.published.requests import Requests
from parity_exp.load.published.token_load import TokenLoad

TIME, INPUT, OUTPUT = "timestamp", "input_length", "output_length"


class Mooncake(TokenLoad):
    """A JSON object a line: ``timestamp`` in milliseconds, ``input_length``, ``output_length`` and ``hash_ids``.

    What ``hash_ids`` say of cached prefixes is not used.
    """

    expected = f'a JSONL file with lines such as {{"{TIME}": 0, "{INPUT}": 6955, "{OUTPUT}": 52, "hash_ids": [46]}}'

    def read(self, path: str | Path) -> Requests:
        return Requests(path, self._rows(path))

    def _rows(self, path: str | Path) -> Iterator[tuple[float, float]]:
        for number, text in _lines(path):
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}: row {number}: no JSON ({error}), expected {self.expected}") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}: row {number}: {text[:80]}, expected {self.expected}")
            time_ms, inputs, outputs = (_amount(path, number, row, name) for name in (TIME, INPUT, OUTPUT))
            yield time_ms / 1e3, self.takes_s(inputs, outputs)


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    try:
        with Path(path).open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line.strip()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: no text file ({error})") from None


def _amount(path: str | Path, number: int, row: dict[str, object], name: str) -> float:
    if name not in row:
        raise UserError(f"{path}: row {number}: {name} is missing, expected a number of 0 or more")
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise UserError(f"{path}: row {number}, {name}: {value}, expected a number of 0 or more")
    return float(value)
