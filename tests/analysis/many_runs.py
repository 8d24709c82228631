"""Many run directories, as sweeps of training and serving would leave them, with some that are broken."""

import io
import json
from collections.abc import Iterator, Mapping
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from parity_exp.experiment.config_folder import config_folder
from parity_exp.recordings.measures import PER_MILLE

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
DATASETS, ARCHITECTURES, ENCODERS = ("digits", "fashion_mnist"), ("mlp", "lenet"), ("addition", "concat", "conv")
KS, UTILISATIONS, STRAGGLERS = (2, 3, 4, 5, 6), (0.3, 0.5, 0.7, 0.85), ("shuffle", "slowdown")
POLICIES = {"equal_resources": (400.0, 0.0), "parity": (90.0, 0.12), "hedged": (70.0, 0.0), "none": (700.0, 0.0)}
"""For each policy its p99.9 in ms at little load, and the share of answers that it reconstructs."""

Choice = tuple[Any, ...]


def write_many_runs(outputs: Path, trained: int, served: int, seed: int = 0) -> list[Path]:
    """Write run directories of training and of serving under a folder; return them."""
    rng = np.random.default_rng(seed)
    configs = Configs()
    training = product(range(max(1, trained)), KS, ENCODERS, ARCHITECTURES, DATASETS)
    folders = []
    for number, (repetition, k, encoder, architecture, dataset) in enumerate(islice(training, trained)):
        folder = outputs / "train" / "multirun" / "2026-01-01" / f"00-00-{number // 100:02d}" / str(number % 100)
        config = configs(dataset, architecture, encoder, "shuffle")
        config |= {"k": k, "seed": repetition, "base": {**config["base"], "seed": repetition}}
        write_run(folder, config, training_metrics(k, encoder, dataset, rng), "train")
        (folder / "history.csv").write_text("epoch,train/loss\n1,0.5\n")
        folders.append(folder)
    serving = product(range(max(1, served)), KS, STRAGGLERS, ENCODERS[:2], UTILISATIONS)
    queries = recording()
    for number, ((repetition, k, straggler, encoder, utilisation), of) in enumerate(
        zip(islice(serving, served), cycle(folders or [Path("elsewhere")]), strict=False)
    ):
        folder = outputs / "serve" / "2026-01-02" / f"00-{number // 60:02d}-{number % 60:02d}-000000"
        config = configs("digits", "mlp", encoder, straggler)
        load = {**config["load"], "utilisation": utilisation}
        config |= {"k": k, "seed": repetition, "load": load, "run": str(of)}
        write_run(folder, config, serving_metrics(k, utilisation, rng), "serve")
        for policy in POLICIES:
            (folder / f"queries-{policy}.parquet").write_bytes(queries)
        (folder / "report.html").write_text("<title>one run</title>")
        folders.append(folder)
    return folders


def write_run(folder: Path, config: Mapping[str, Any], metrics: Mapping[str, float], command: str) -> None:
    (folder / ".hydra").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / "config.yaml").write_text(yaml.dump(dict(config), Dumper=DUMPER, sort_keys=False))
    (folder / ".hydra" / "config.yaml").write_text("k: 2\nencoder: not of this run\n")
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2))
    environment = {"parity_exp": "0.1.0", "host": "here", "devices": ["cpu (2 threads)"]}
    command_line = ["parity-exp", f"hydra.job.name={command}", "k=2"]
    (folder / "environment.json").write_text(json.dumps({**environment, "command": command_line}))


def break_runs(folders: list[Path]) -> dict[Path, str]:
    """Break the first runs in all the ways that there are; return a word of what is to be said about each."""
    ways: Iterator[Path] = iter(folders)
    said = {}

    def broken(word: str) -> Path:
        folder = next(ways)
        said[folder] = word
        return folder

    (broken("no metrics.json") / "metrics.json").unlink()
    (broken("metrics.json: not readable as JSON") / "metrics.json").write_text('{"test/avail')
    (broken("metrics.json: not a JSON object") / "metrics.json").write_text("[1, 2]")
    (broken("config.yaml: not readable as YAML") / "config.yaml").write_text("k: 2\nencoder: {_target_: [\n")
    (broken("config.yaml: not the config of a run") / "config.yaml").write_text("")
    (broken("config.yaml: not readable as YAML") / "config.yaml").write_bytes(b"k: 2\n\xff\xfe\x00")
    (broken("no config.yaml") / "config.yaml").unlink()
    (broken("environment.json: not readable as JSON") / "environment.json").write_text("")
    (broken("queries-parity.parquet: cut short") / "queries-parity.parquet").write_bytes(recording()[:-200])
    (broken("queries-parity.parquet: cut short") / "queries-parity.parquet").write_bytes(b"")
    return said


class Configs:
    """Whole resolved configs, as jobs write them; each is composed once."""

    def __init__(self) -> None:
        self.composed: dict[Choice, dict[str, Any]] = {}

    def __call__(self, dataset: str, architecture: str, encoder: str, straggler: str) -> dict[str, Any]:
        choice = (dataset, architecture, encoder, straggler)
        if choice not in self.composed:
            names = ("dataset", "architecture", "encoder", "straggler")
            overrides = [f"{name}={value}" for name, value in zip(names, choice, strict=True)]
            overrides[-1] = f"straggler=[{straggler}]"
            with initialize_config_dir(str(config_folder()), version_base="1.3"):
                config = OmegaConf.to_container(compose("config", overrides), resolve=True)
            assert isinstance(config, dict)
            self.composed[choice] = {str(key): value for key, value in config.items()}
        return dict(self.composed[choice])


def training_metrics(k: int, encoder: str, dataset: str, rng: np.random.Generator) -> dict[str, float]:
    available = 0.96 if dataset == "digits" else 0.89
    degraded = available - {"addition": 0.05, "concat": 0.07, "conv": 0.03}[encoder] * (k - 1) + rng.normal(0, 0.01)
    return {
        "test/available_accuracy": available,
        "test/degraded_accuracy": degraded,
        "train/best_val_degraded_accuracy": degraded,
        "test/reconstruction_accuracy": degraded + 0.02,
        "train/epochs": 30,
        "train/seconds_per_epoch": 0.5 * k,
        "train/parity_seconds": 15.0 * k,
    }


def serving_metrics(k: int, utilisation: float, rng: np.random.Generator) -> dict[str, float]:
    metrics = {"serve/service_time_ms": 20.0, "serve/rate_qps": 200 * utilisation, "serve/utilisation": utilisation}
    for policy, (slowest_ms, rebuilt) in POLICIES.items():
        slowest_ms *= (1 + 0.1 * rng.random()) / (1.2 - utilisation)
        extra = 0 if policy == "none" else -(-12 // k)
        values: dict[str, float] = {
            f"latency_ms/{name}": 20 + slowest_ms * at / len(PER_MILLE) for at, name in enumerate(PER_MILLE, 1)
        }
        values |= {"gap_ms": values["latency_ms/p99.9"] - values["latency_ms/p50"], "accuracy": 0.96 - 0.1 * rebuilt}
        values |= {"fraction/own": 1 - rebuilt, "fraction/reconstructed": rebuilt, "fraction/default": 0.0}
        values |= {"queries": 5000, "lost": 0, "duplicates": 0, "throughput_qps": 100.0}
        values |= {"instances": 12 + extra, "extra_instances": extra, "encode_us": 60.0, "decode_us": 50.0}
        values |= {"tasks_per_query": 1 + (0 if policy == "none" else 1 / k)}
        metrics |= {f"serve/{policy}/{name}": value for name, value in values.items()}
    return metrics


def recording() -> bytes:
    """A whole Parquet file of a few queries."""
    content = io.BytesIO()
    pd.DataFrame({"query": range(50), "latency_ms": 20.0}).to_parquet(content)
    return content.getvalue()
