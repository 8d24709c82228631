"""Runs as tidy tables: a row a run, and a row a run and policy, for people's own scripts as much as for reports.

Columns are named after the keys of ``metrics.json`` and of configs. Of config values those are there that differ
between the runs, and those that everybody asks for.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from parity_exp.analysis.runs.differences import (
    SERVING,
    component_labels,
    flatten,
    is_seed,
    variants,
    varying_keys,
    within,
    written,
)
from parity_exp.recordings.descriptions import SETTING, description_of_a_coder, read_descriptions
from parity_exp.recordings.gathered import GatheredRun
from parity_exp.recordings.looks import read_looks
from parity_exp.recordings.metric_keys import SIMULATED, prefix_of
from parity_exp.recordings.names import COMPONENTS, POLICIES

CODE = ["dataset", "architecture", "encoder", "decoder", "k", "r"]
"""Columns that say which code it is."""

TRAINED_METRICS = re.compile(
    r"test/(available|degraded|reconstruction)_(?!.*_top\d+$)\w+|train/(seconds_per_epoch|parity_seconds)"
)
"""Metrics of the trained run that a row of serving repeats."""

LOAD = ("load.rate_qps", "load.utilisation")


class Tidy:
    """The tables of some runs.

    Attributes:
        runs: a row a run: ``run`` (its directory), ``state``, ``problem``, ``command``, what it is about, the config
            values that differ, and its metrics without those of policies. Rows of runs whose config cannot be read
            have nothing but the first three.
        serving: a row a finished run and policy: what it is about, and the policy's metrics by their names without
            ``serve/<policy>/``; ``setting`` says what sets its stragglers, pool and load apart from others'.
        differing: keys that differ between runs, with those that go with each.
        looks: how policies appear that have said so, by name.
        encoder_colours: colours that encoders, and codes without one, have declared, by name.
    """

    def __init__(self, gathered: Sequence[GatheredRun]) -> None:
        self._readable = [run for run in gathered if run.config]
        self._flats = [flatten(run.config) for run in self._readable]
        self.differing = varying_keys(self._flats)
        self._facts = self._describe()
        by_path = {run.path: facts for run, facts in zip(self._readable, self._facts, strict=True)}
        self.runs = _frame([self._run_row(run, by_path.get(run.path, {})) for run in gathered])
        self.serving = self._serving()
        told = [read_looks(run.path) for run in gathered if POLICIES in run.files]
        self.looks = {name: look for looks in told for name, look in looks.items()}
        self.encoder_colours = self._encoder_colours()

    def _describe(self) -> list[dict[str, Any]]:
        """For each readable run what it is about."""
        labels = {
            "dataset": component_labels(self._flats, "dataset"),
            "architecture": component_labels(self._flats, "architecture"),
            "encoder": self._encoders(),
            "decoder": component_labels(self._flats, "decoder", "Decoder"),
        }
        others = [key for key in self.differing if key not in ("k", "r", "seed", *labels)]
        trained = _Trained(self._readable)
        facts: list[dict[str, Any]] = []
        for at, (run, flat) in enumerate(zip(self._readable, self._flats, strict=True)):
            of = trained.run_of(run)
            facts.append(
                {
                    **{name: column[at] for name, column in labels.items()},
                    **{key: flat.get(key) for key in ("k", "r", "seed")},
                    "trained_run": None if of is None else str(of),
                    **{key: flat.get(key) for key in others},
                }
            )
        return facts

    def _encoders(self) -> list[str]:
        """Names of encoders; of a code that has none, since it trains nothing, the code's own."""
        encoders = component_labels(self._flats, "encoder", "Encoder")
        codes = component_labels(self._flats, "code", "Code")
        return [
            code if flat.get("encoder", "") is None else encoder
            for flat, encoder, code in zip(self._flats, encoders, codes, strict=True)
        ]

    def _encoder_colours(self) -> dict[str, str]:
        colours: dict[str, str] = {}
        for run, facts in zip(self._readable, self._facts, strict=True):
            label, part = facts["encoder"], "encoder" if run.config.get("encoder") else "code"
            if label in colours or " (" in label:  # several settings of one have a colour each
                continue
            kept = read_descriptions(run.path).get(part) if COMPONENTS in run.files else None
            said = description_of_a_coder(run.config.get(part)) if kept is None else kept
            if "colour" in said:
                colours[label] = said["colour"]
        return colours

    def _run_row(self, run: GatheredRun, facts: Mapping[str, Any]) -> dict[str, Any]:
        environment = run.environment
        devices = environment.get("devices")
        policies = tuple(f"{prefix_of(run.metrics)}/{policy}/" for policy in run.policies)
        return {
            "run": str(run.path),
            "state": run.state,
            "problem": "; ".join(run.problems) or None,
            "command": run.command,
            **facts,
            **{key: value for key, value in run.metrics.items() if not key.startswith(policies or ("\0",))},
            "version": environment.get("parity_exp"),
            "git_revision": environment.get("git_revision"),
            "host": environment.get("host"),
            "devices": ", ".join(map(str, devices)) if isinstance(devices, list) else None,
        }

    def _serving(self) -> pd.DataFrame:
        served = [at for at, run in enumerate(self._readable) if run.state == "finished" and run.policies]
        flats = [self._flats[at] for at in served]
        parts = [part for part in SERVING if part != "redundancy"]
        settings = variants(flats, ("load.queries", "load.warmup", *LOAD), parts)
        names = {policy for at in served for policy in self._readable[at].policies}
        labels = {policy: component_labels(flats, f"redundancy.{policy}") for policy in names}
        trained = _Trained(self._readable)
        rows = []
        for place, at in enumerate(served):
            run, flat, facts = self._readable[at], flats[place], self._facts[at]
            known = trained.metrics_of(run)
            simulated = prefix_of(run.metrics) == SIMULATED  # which nobody shall average with what was served
            for policy, metrics in run.policies.items():
                label = labels[policy][place].partition(" (")
                rows.append(
                    {
                        "run": str(run.path),
                        "command": run.command,
                        **facts,
                        "policy": policy,
                        "policy_variant": f"{policy} ({label[2]}" if label[1] else policy,
                        "setting": f"simulated {settings[place]}".strip() if simulated else settings[place],
                        "straggler": flat.get("straggler"),
                        "base_instances": flat.get("pool.instances"),
                        **_load(flat, run.metrics),
                        "accuracy": float("nan"),  # simulations have none
                        **metrics,
                        **{key: value for key, value in known.items() if TRAINED_METRICS.fullmatch(key)},
                    }
                )
        return _frame(rows)

    def variant_of_runs(self, runs: pd.DataFrame) -> pd.Series:
        """For rows of ``runs`` what sets each apart from others with the same code, seeds aside, in words."""
        flats = {str(run.path): flat for run, flat in zip(self._readable, self._flats, strict=True)}
        told = ("dataset", "architecture", "encoder", "k", "r", "evaluation.fractions_unavailable", *SERVING)
        words: dict[Hashable, str] = {}
        for _, rows in runs.groupby([name for name in CODE if name != "decoder"], dropna=False):
            words |= zip(rows.index, variants([flats[run] for run in rows["run"]], told), strict=True)
        return pd.Series(words, dtype=object).reindex(runs.index)

    def differences(self) -> dict[str, str]:
        """For each run what sets it apart, as ``key=value`` words, seeds included; of those that served how, too."""
        trained_keys = [key for key in self.differing if not within(key, SERVING)]
        words = {}
        for run, flat in zip(self._readable, self._flats, strict=True):
            keys = trained_keys if run.command in ("train", "evaluate") else self.differing
            words[str(run.path)] = " ".join(f"{key}={written(flat[key])}" for key in keys if key in flat)
        return words

    def values_of(self, key: str) -> dict[Hashable, int]:
        """Values of a key, with the number of runs that have each."""
        counts: dict[Hashable, int] = {}
        for flat in self._flats:
            if key in flat:
                counts[flat[key]] = counts.get(flat[key], 0) + 1
        return counts

    def words_of(self, key: str) -> str:
        """What a component's setting is called at an axis: in the words of its class, and with its key."""
        place, _, name = key.rpartition(".")
        for run in self._readable:
            words = (
                read_descriptions(run.path).get(place, {}).get(f"{SETTING}{name}") if COMPONENTS in run.files else None
            )
            if words:
                return f"{words} ({key})"
        return key

    @property
    def seeds(self) -> list[str]:
        """Seeds that differ between runs."""
        return [key for key in self.differing if is_seed(key)]


def measured_codes(tidy: Tidy) -> pd.DataFrame:
    """Rows of ``runs`` that measured a code, each trained code once, with a column ``variant``.

    An `evaluate` of a run that is there itself measures the same code again on the same data, and is left out.
    """
    runs = tidy.runs
    if "test/degraded_accuracy" not in runs:
        return runs.iloc[:0].assign(variant="")
    measured = runs[(runs["state"] == "finished") & runs["test/degraded_accuracy"].notna()]
    first = measured[measured["command"] != "evaluate"].set_index("run")["dataset"]
    again = (measured["command"] == "evaluate") & (measured["trained_run"].map(first) == measured["dataset"])
    measured = measured[~again]
    return measured.assign(variant=tidy.variant_of_runs(measured))


class _Trained:
    """Finds the run that another one evaluated or served; paths in configs may be of another folder or machine."""

    def __init__(self, runs: Sequence[GatheredRun]) -> None:
        self.by_place = {run.path.resolve(): run for run in runs}
        self.by_tail: dict[tuple[str, ...], GatheredRun] = {}
        for place, run in self.by_place.items():
            self.by_tail[place.parts[-3:]] = run

    def run_of(self, run: GatheredRun) -> Path | None:
        """The directory that ``run=`` named: that of a gathered run, else as it was given."""
        given = run.config.get("run")
        if not given:
            return None
        found = self._find(str(given))
        return Path(str(given)) if found is None else found.path

    def metrics_of(self, run: GatheredRun) -> dict[str, float]:
        """Metrics of the run itself, and those of the trained one that it lacks."""
        given = run.config.get("run")
        found = self._find(str(given)) if given else None
        return {**(found.metrics if found is not None else {}), **run.metrics}

    def _find(self, given: str) -> GatheredRun | None:
        path = Path(given)
        return self.by_place.get(path.resolve()) or self.by_tail.get(path.parts[-3:])


def _load(flat: Mapping[str, Hashable], metrics: Mapping[str, float]) -> dict[str, Any]:
    """The load as it was asked for, a rate or a share of what the base instances can serve, or as it came out."""
    rate_qps, utilisation = (flat.get(key) for key in LOAD)
    prefix = prefix_of(metrics)
    load = {
        "load_is_a_rate": rate_qps is not None,
        "rate_qps": metrics.get(f"{prefix}/rate_qps") if rate_qps is None else rate_qps,
        "utilisation": utilisation,
        "service_time_ms": metrics.get(f"{prefix}/service_time_ms"),
    }
    if utilisation is None and f"{prefix}/utilisation" in metrics:
        load["utilisation"] = round(metrics[f"{prefix}/utilisation"], 2)
    return load


LARGEST = 2**63 - 1  # of the whole numbers that tables can hold as such


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A table that CSV and Parquet can hold: a column of unlike values becomes text."""
    table = pd.DataFrame(list(rows))
    for name in table.columns:
        column = table[name]
        if column.dtype != object:
            continue
        kinds = {type(value) for value in column if value is not None and value == value}
        if kinds and kinds <= {int} and all(abs(value) <= LARGEST for value in column.dropna()):
            table[name] = column.astype("Int64")
        elif kinds <= {int, float}:
            table[name] = column.astype(float)
        elif kinds != {bool}:
            table[name] = [None if value is None or value != value else str(value) for value in column]
    whole = [
        name
        for name in ("k", "r", "seed")
        if name in table and table[name].dtype.kind == "f" and table[name].abs().max() <= LARGEST
    ]
    return table.astype(dict.fromkeys(whole, "Int64"))
