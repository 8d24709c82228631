"""``parity_exp.serve``: modules, policies and a load in, metrics and tables out."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch

from parity_exp import serve, simulate
from parity_exp.coding import AdditionEncoder, Code, SubtractionDecoder
from parity_exp.disturbances import Degraded
from parity_exp.load import Poisson
from parity_exp.policies import EqualResources, NoRedundancy, Oracle, Parity
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.serving.pools import LocalPool
from tests.serving.small_models import Linear

QUERIES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

LOAD = Poisson(40, warmup=4, rate_qps=100, slo_ms=None)


def pool() -> LocalPool:
    return LocalPool(devices="cpu", service_time_ms=5)


def test_a_module_is_served_and_a_parity_model_gives_its_predictions_back(tmp_path: Path) -> None:
    model = Linear()
    labels = model(QUERIES).argmax(1)
    code = Code(AdditionEncoder(2, 1, (6,)), SubtractionDecoder(2, 1, (3,)))
    served = serve(
        model, QUERIES, labels, policies={"plain": NoRedundancy, "coded": Parity}, load=LOAD, instances=2,
        straggler=Degraded(factor=6, instance=0), code=code, parity_models=[model], pool=pool(),
        folder=tmp_path / "run", show_progress=False,
    )  # fmt: skip
    assert model.weights.requires_grad and model.training  # the given module stays as it is
    assert served.metrics["serve/plain/accuracy"] == served.metrics["serve/coded/accuracy"] == 1
    assert served.metrics["serve/coded/fraction/reconstructed"] > 0
    assert served.table["policy"].tolist() == ["plain", "coded"]
    assert served.queries.groupby("policy").size().to_dict() == {"plain": 40, "coded": 40}
    assert set(served.tasks.query("policy == 'coded'")["model"]) == {"base", "parity-0"}
    run = RunDirectory(tmp_path / "run")
    assert run.read_metrics() == served.metrics
    assert run.read_config()["redundancy"]["coded"]["_target_"].endswith("Parity")
    written = pd.read_parquet(tmp_path / "run" / "queries-coded.parquet")
    assert written["latency_ms"].tolist() == served.queries.query("policy == 'coded'")["latency_ms"].tolist()
    assert "latency_ccdf" in served.figures() and (run.figures / "latency_ccdf.png").is_file()


@pytest.mark.slow
def test_without_labels_nothing_is_said_of_accuracy_and_the_schema_is_that_of_a_simulation() -> None:
    options = {"policies": [NoRedundancy, EqualResources], "load": LOAD, "instances": 2, "show_progress": False}
    served = serve(Linear(), QUERIES, pool=pool(), **options)  # type: ignore[arg-type]
    simulated = simulate(service_time_ms=5, **options)  # type: ignore[arg-type]
    assert not [key for key in served.metrics if "accuracy" in key]
    assert "correct" not in served.queries and "predicted" in served.queries
    assert set(simulated.queries) <= set(served.queries) and set(simulated.tasks) <= set(served.tasks)
    names = {key.partition("/")[2] for key in simulated.metrics} - {"none/busy", "equal_resources/busy"}
    assert names <= {key.partition("/")[2] for key in served.metrics}
    assert served.table.columns.tolist() == simulated.table.columns.tolist()


REFUSED = {
    "no parity model": ({"policies": [Parity]}, "policies.parity: it runs the model parity-0"),
    "the future": ({"policies": [Oracle]}, "policies.oracle: only `simulate`"),
    "other labels": ({"labels": torch.zeros(3, dtype=torch.int64)}, "labels: 3 of them for 40 queries"),
    "no such class": ({"labels": torch.full((40,), 7)}, "labels: labels run from 7 to 7; expected 0 to 2"),
    "another shape": ({"queries": torch.zeros(4, 5)}, "models.base (Linear): it cannot take queries of shape (5,)"),
    "no module": ({"models": 3}, "models.base=3: expected"),
    "no load": ({"load": 100}, "load=100: expected a Load"),
    "no instances": ({"instances": 0}, "instances=0: expected"),
    "a name of a file": ({"policies": {"a/b": NoRedundancy}}, "'a/b' is no name of a policy"),
    "a straggler of nobody": ({"straggler": Degraded(instance=9)}, "straggler.degraded"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_a_line_before_anything_starts(case: str, tmp_path: Path) -> None:
    changes, words = REFUSED[case]
    given = {"models": Linear(), "queries": QUERIES, "policies": [NoRedundancy], "load": LOAD, "instances": 2}
    with pytest.raises(ValueError) as refused:
        serve(**{**given, **changes}, folder=tmp_path / "run")  # type: ignore[arg-type]
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_module_that_cannot_be_sent_is_refused_in_a_line() -> None:
    model = Linear()
    model.lock = threading.Lock()
    with pytest.raises(ValueError, match=r"models\.base \(Linear\): it cannot be sent to another process"):
        serve(model, QUERIES, policies=[NoRedundancy], load=LOAD)


SCRIPT = """
import torch
from parity_exp import serve
from parity_exp.load import Poisson
from parity_exp.policies import NoRedundancy
from parity_exp.serving.pools import LocalPool
from tests.serving.small_models import Linear

SCALE = 2.0

class Own(torch.nn.Module):
    def forward(self, queries):
        return SCALE * queries

class Mine(NoRedundancy):
    pass

print("once")
load = Poisson(10, rate_qps=100)
result = serve(Own(), torch.eye(4), torch.arange(4), policies=[Mine], load=load, instances=1, pool=LocalPool("cpu"),
               show_progress=False)
print(result.metrics["serve/mine/accuracy"])
"""


@pytest.mark.slow
def test_a_script_without_a_main_guard_serves_a_class_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert (done.stdout.split(), done.returncode) == (["once", "1.0"], 0), done.stderr
