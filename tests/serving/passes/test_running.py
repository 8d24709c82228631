"""How a model's passes are run: captured for each size of a batch, filled up, or as they are; in which numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from parity_exp.errors import UserError
from parity_exp.serving.passes import Acceleration, Passes
from parity_exp.serving.passes.hardware import Hardware, PlainHardware
from parity_exp.serving.passes.running import captured_sizes
from tests.serving.passes.capturing import CapturingHardware
from tests.serving.small_models import SHAPE, Corner, Scale, mlp

CPU = torch.device("cpu")


def passes(network: nn.Module, outputs: tuple[int, ...], batch_size: int, hardware: Hardware, **choices: Any) -> Passes:
    return Passes("base", network.eval(), SHAPE, outputs, batch_size, hardware, Acceleration(**choices))


def run(made: Passes, queries: Tensor, out: Tensor | None = None) -> Tensor:
    with torch.inference_mode():
        return made(queries, out)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 9, 20, 64])
def test_a_replay_gives_for_every_size_of_a_batch_what_the_network_gives(batch_size: int) -> None:
    hardware = CapturingHardware()
    made = passes(mlp(), (10,), batch_size, hardware)
    assert made.note is None
    assert sorted(hardware.captured) == captured_sizes(batch_size)
    hardware.launched.clear()
    network = mlp().eval()
    for count in range(1, batch_size + 1):
        queries = torch.rand(count, *SHAPE)
        with torch.inference_mode():
            assert torch.allclose(run(made, queries), network(queries), atol=1e-5)
    assert len(hardware.launched) == batch_size
    for count, size in enumerate(hardware.launched, 1):
        assert count <= size <= max(count + 1, count * 9 / 8)


def test_every_size_up_to_eight_is_captured_and_the_largest_of_all() -> None:
    for batch_size in range(1, 200):
        sizes = captured_sizes(batch_size)
        assert sizes[: min(batch_size, 8)] == list(range(1, min(batch_size, 8) + 1))
        assert sizes[-1] == batch_size and sizes == sorted(set(sizes))
    assert len(captured_sizes(128)) < 40


def test_answers_go_where_they_are_wanted_and_one_wait_is_enough() -> None:
    for hardware in (CapturingHardware(), CapturingHardware(fails=(1,))):
        made = passes(Corner(), (10,), 4, hardware)
        waits = hardware.waits
        out = torch.zeros(3, 10)
        queries = torch.rand(3, *SHAPE)
        assert run(made, queries, out) is out
        assert torch.equal(out, queries[:, 0, 0, :10])
        assert hardware.waits == waits + 1


def test_a_model_that_cannot_be_captured_runs_as_it_is_and_says_so_in_one_line() -> None:
    hardware = CapturingHardware(fails=(2,))
    made = passes(Corner(), (10,), 4, hardware)
    assert made.note is not None and "\n" not in made.note
    assert "model base" in made.note and "operation not permitted" in made.note and "pool.cuda_graphs" in made.note
    hardware.launched.clear()
    for count in (1, 2, 3, 4):
        queries = torch.rand(count, *SHAPE)
        assert torch.equal(run(made, queries), queries[:, 0, 0, :10])
    assert hardware.launched == []


def test_who_insists_on_graphs_is_refused_where_there_can_be_none() -> None:
    with pytest.raises(UserError, match=r"pool\.cuda_graphs=true: model base .*operation not permitted.*auto"):
        passes(Corner(), (10,), 2, CapturingHardware(fails=(1,)), cuda_graphs=True)


def test_who_wants_no_graphs_gets_none_and_no_word_about_it() -> None:
    hardware = CapturingHardware()
    assert passes(Corner(), (10,), 4, hardware, cuda_graphs=False).note is None
    assert hardware.captured == []


class Counts(nn.Module):
    """Counts its calls: a replay, which is none, gives what the call gave that was captured."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, queries: Tensor) -> Tensor:
        self.calls += 1
        return queries[:, 0, 0, :10] + self.calls


class Looks(nn.Module):
    """Decides by a number of the query."""

    def forward(self, queries: Tensor) -> Tensor:
        return queries[:, 0, 0, :10] * (2 if float(queries.sum()) > 1 else 1)


class FailsNowAndThen(Counts):
    """Raises at every fifth call, which replays would hide."""

    def forward(self, queries: Tensor) -> Tensor:
        if self.calls % 5 == 4:
            self.calls += 1
            raise ValueError("not\nnow")
        return super().forward(queries)


def test_what_a_replay_would_not_do_keeps_a_model_from_being_captured() -> None:
    made = passes(Counts(), (10,), 1, CapturingHardware())
    assert made.note is not None and "more than its input" in made.note
    made = passes(Looks(), (10,), 1, CapturingHardware())
    assert made.note is not None and "RuntimeError" in made.note
    assert torch.equal(run(made, torch.ones(1, *SHAPE)), torch.full((1, 10), 2.0))
    made = passes(FailsNowAndThen(), (10,), 1, CapturingHardware())
    assert made.note is not None and "ValueError: not now" in made.note
    with pytest.raises(ValueError, match="not"):
        for _ in range(5):
            run(made, torch.ones(1, *SHAPE))


class Centred(nn.Module):
    """Gives numbers less their mean over the queries that came together."""

    def forward(self, queries: Tensor) -> Tensor:
        numbers = queries[:, 0, 0, :10]
        return numbers - numbers.mean(0)


def test_queries_whose_neighbours_matter_are_never_filled_up() -> None:
    hardware = CapturingHardware()
    made = passes(Centred(), (10,), 20, hardware)
    assert made.note is None
    for count in range(1, 21):
        queries = torch.rand(count, *SHAPE)
        assert torch.allclose(run(made, queries), Centred()(queries), atol=1e-6)


class Formats(nn.Module):
    """A convolution, a normalisation and a product; notes which formats and layouts come by."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.normalisation = nn.BatchNorm2d(4)
        self.product = nn.Linear(4 * 26 * 26, 10)
        self.seen: list[tuple[torch.dtype, bool]] = []

    def forward(self, queries: Tensor) -> Tensor:
        features = self.convolution(queries)
        self.seen.append((features.dtype, features.is_contiguous(memory_format=torch.channels_last)))
        outputs: Tensor = self.product(self.normalisation(features).flatten(1))
        return outputs


@pytest.mark.parametrize("hardware", [PlainHardware(CPU), CapturingHardware()], ids=["plain", "capturing"])
@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_networks_work_in_the_precision_that_is_chosen_and_answer_in_float32(
    hardware: Hardware, precision: str, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    network = Formats()
    queries = torch.rand(2, *SHAPE)
    with torch.inference_mode():
        exact = network.eval()(queries)
    network.seen.clear()
    made = passes(network, (10,), 2, hardware, precision=precision)
    outputs = run(made, queries)
    assert outputs.dtype is torch.float32
    assert {kind for kind, _ in network.seen} == {dtype}
    assert network.convolution.weight.dtype is dtype and network.normalisation.running_var is not None
    assert network.normalisation.running_var.dtype is torch.float32
    assert torch.allclose(outputs, exact, atol=0.05) and not torch.equal(outputs, exact)


def test_images_are_laid_out_as_they_are_told_to_be() -> None:
    for choice in (True, False, "auto"):
        network = Formats()
        made = passes(network, (10,), 2, PlainHardware(CPU), channels_last=choice)
        run(made, torch.rand(2, *SHAPE))
        assert {apart for _, apart in network.seen} == {choice is True}


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"cuda_graphs": "yes"}, "cuda_graphs=yes: expected auto, true or false"),
        ({"cuda_graphs": None}, "cuda_graphs=None"),
        ({"channels_last": 1.5}, "channels_last=1.5"),
        ({"precision": "float8"}, "precision=float8: expected one of float32, bfloat16, float16"),
        ({"precision": 16}, "precision=16"),
        ({"compile": "auto"}, "compile=auto: expected true or false"),
        ({"tf32": 1}, "tf32=1"),
        ({"cudnn_benchmark": "no"}, "cudnn_benchmark=no"),
    ],
)
def test_choices_that_cannot_be_are_named(choices: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Acceleration(**choices)


def test_compiled_networks_give_what_networks_give(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []

    def compile_(network: nn.Module) -> nn.Module:
        compiled.append(network)
        return Scale(3.0)

    monkeypatch.setattr(torch, "compile", compile_)
    network = Scale(2.0)
    made = passes(network, SHAPE, 3, PlainHardware(CPU), compile=True)
    assert compiled == [network]
    queries = torch.rand(2, *SHAPE)
    assert torch.equal(run(made, queries), queries * 3)
