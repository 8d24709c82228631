"""Is a live endpoint's tail the one that ``serve`` measures? The same load and stragglers, once played and once asked.

    python examples/endpoint_beside_serve.py outputs/train/DATE/TIME redundancy=adaptive straggler=shuffle \
        load.rate_qps=240 load.queries=20000 pool.instances=12 pool.service_time_ms=25

First ``serve`` plays the load in its own process. Then an ``endpoint`` with the same policy, instances and stragglers
is started, and ``load`` sends it the same arrivals over HTTP from another process. Words are overrides: those of the
load go to who plays it, ``seed=`` to all, the others to who serves.
"""

import json
import sys
import tempfile
from pathlib import Path
from subprocess import run

from endpoint_under_fire import Endpoint

QUANTILES = ("p50", "p99", "p99.9")


def parity_exp(command: str, folder: Path, *overrides: str) -> dict[str, float]:
    """Metrics of a job of its own, by their keys without the name of who served."""
    words = [sys.executable, "-m", "parity_exp", command, f"hydra.run.dir={folder}", *overrides]
    ended = run(words, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(ended.stdout + ended.stderr)
    return metrics_of(folder)


def metrics_of(folder: Path) -> dict[str, float]:
    """Likewise, of a run directory."""
    metrics = json.loads((folder / "metrics.json").read_text())
    return {key.split("/", 2)[-1]: value for key, value in metrics.items() if key.startswith("serve/")}


def straggler_s(folder: Path, rate_qps: float) -> float:
    """How long an endpoint is to draw stragglers for, so that they are those that ``serve`` has drawn."""
    arrivals_s = [float(line) for line in (folder / "arrivals.csv").read_text().split()[1:]]
    return 1.5 * max(arrivals_s[-1], len(arrivals_s) / rate_qps)


def main() -> None:
    """Serve, ask, and print a row for each quantile."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    trained, *overrides = sys.argv[1:]
    loads = [one for one in overrides if one.startswith("load")]
    common = [one for one in overrides if one.partition("=")[0] in ("seed", "tracker")]
    serving = [one for one in overrides if one not in loads and one not in common]
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        played = parity_exp("serve", here / "serve", f"run={trained}", *serving, *loads, *common)
        stragglers = f"endpoint.straggler_s={straggler_s(here / 'serve', played['rate_qps'])}"
        endpoint = Endpoint(trained, [*serving, *common, stragglers, f"hydra.run.dir={here / 'endpoint'}"])
        url = f"url=http://{endpoint.addresses['http']}"
        clients = parity_exp("load", here / "load", f"run={trained}", "name=clients", url, *loads, *common)
        seen = metrics_of(endpoint.end())
    print(f"{'ms':>10} {'serve':>8} {'endpoint':>8} {'clients':>8} {'clients / serve':>16}")
    for name in QUANTILES:
        key = f"latency_ms/{name}"
        ratio = clients[key] / played[key]
        print(f"{name:>10} {played[key]:8.1f} {seen[key]:8.1f} {clients[key]:8.1f} {ratio:16.2f}")
    print(f"{'lost':>10} {played['lost']:8.0f} {seen['lost']:8.0f} {clients['lost']:8.0f}")


if __name__ == "__main__":
    main()
