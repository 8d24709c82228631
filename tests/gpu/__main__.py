"""The check to make on a machine with a GPU: ``python -m tests.gpu`` in a checkout, under four minutes.

Measures speeds beside their baselines, trains, evaluates and serves by the command line, and prints one table, which
grows with each part. The exit status is 1 where something does not hold. Neither W&B nor Ray needs to be installed.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tests.gpu import commands, serving_speed, training_speed
from tests.gpu.rows import Row, table


def main() -> int:
    if not torch.cuda.is_available():
        print("torch sees no GPU here", file=sys.stderr)
        return 2
    started_s = time.perf_counter()
    rows: list[Row] = []
    failures: list[str] = []
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as folder:
        parts: list[Callable[[], list[Row]]] = [
            training_speed.check,
            lambda: commands.check(Path(folder)),
            serving_speed.serving_rows,
        ]
        for part in parts:
            try:
                rows += part()
                print(f"\n{table(rows)}\nafter {time.perf_counter() - started_s:.0f} s", flush=True)
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")
                print(f"\nFAILED: {failures[-1]}", flush=True)
    missed = sum(row.holds is False for row in rows)
    print(f"\n{missed} of {sum(row.holds is not None for row in rows)} figures miss what is wanted")
    return int(bool(failures) or missed > 0)


if __name__ == "__main__":
    sys.exit(main())
