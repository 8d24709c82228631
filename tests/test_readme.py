"""Every command and example of the README works."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from parity_exp.data.sources import SYSTEM_FOLDERS
from parity_exp.models import MLP
from tests.conftest import QUICK, Run, Trained, run_dirs

README = Path(__file__).parent.parent / "README.md"

FASHION_MNIST = any(Path(folder, "fashion-mnist").is_dir() for folder in SYSTEM_FOLDERS)


QUICK_SERVING = ("load.queries=40", "pool.service_time_ms=2")


MEASURES = ("measured/", "base.checkpoint=model.t7", "experiment=tail_")
"""What commands have that repeat a measurement, for minutes to hours: tests/test_documents.py composes them."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def commands() -> list[list[str]]:
    """The arguments of every ``python -m parity_exp`` that is neither part of an installation nor a measurement."""
    lines = [
        line for block in blocks("sh") for line in block.splitlines() if not any(part in line for part in MEASURES)
    ]
    words = [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("python -m parity_exp")]
    # Two processes are started, in a sweep moreover, by tests/commands/test_several_processes.py.
    return [given for given in words if "trainer=ddp_cpu" not in given]


def test_the_readme_has_commands() -> None:
    assert len(commands()) >= 8 and len(blocks("python")) >= 1


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_a_command_of_the_readme_works(
    run: Run, folder: Path, trained: Trained, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "dataset=fashion_mnist" in arguments and not FASHION_MNIST:
        pytest.skip("Fashion-MNIST is not installed")
    torch.save(MLP((1, 28, 28), 10).state_dict(), "model.pt")
    (folder / "my_conf" / "encoder").mkdir(parents=True)
    (yaml,) = blocks("yaml")
    (folder / "my_conf" / "encoder" / "mean.yaml").write_text(yaml)
    (folder / "my_codes.py").write_text(
        "from parity_exp.coding import Encoder\n"
        "class MeanEncoder(Encoder):\n"
        "    def forward(self, prepared):\n"
        "        return prepared.mean(dim=1, keepdim=True)\n"
    )
    monkeypatch.syspath_prepend(folder)
    quick = [*QUICK, *([] if any(word.startswith("tracker=") for word in arguments) else ["tracker=none"])]
    if arguments[0] == "report" or any("DATE/TIME" in word for word in arguments):
        earlier = folder / "outputs" / "train" / "2000-01-01" / "00-00-00"
        shutil.copytree(trained(), earlier)
        arguments = [word.replace("outputs/train/DATE/TIME", str(earlier)) for word in arguments]
        quick = [] if arguments[0] == "report" else ["tracker=none"]
    if any("outputs/serve/DATE/TIME" in word for word in arguments):
        assert run("serve", f"run={earlier}", "redundancy=[none]", *quick, *QUICK_SERVING) == 0
        (served,) = run_dirs(folder, "serve")
        arguments = [word.replace("outputs/serve/DATE/TIME", str(served)) for word in arguments]
    if arguments[0] == "simulate":
        arguments = [word for word in arguments if not word.startswith("load.queries=")]
        quick = ["tracker=none", "load.queries=400"]
    if arguments[0] in ("serve", "run"):
        given = {word.partition("=")[0] for word in arguments}
        quick += [word for word in QUICK_SERVING if word.partition("=")[0] not in given and "load" not in given]
    assert run(*arguments, *quick) == 0


def test_the_library_example_decodes_what_was_lost() -> None:
    (example,) = [block for block in blocks("python") if "import" in block]
    names: dict[str, torch.Tensor] = {}
    exec(example, names)
    torch.testing.assert_close(names["decoded"], names["predictions"], rtol=1e-3, atol=1e-3)
