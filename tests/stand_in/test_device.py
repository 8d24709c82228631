"""The stand-in refuses and allows what CUDA refuses and allows."""

import copy
import io
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

THERE, OTHER = "pretend:0", "pretend:1"

Make = Callable[[], object]


def on(device: str, *values: float) -> Tensor:
    return torch.tensor(values, device=device)


FACTORIES: dict[str, Callable[[str], Tensor]] = {
    "ones": lambda device: torch.ones(2, device=device),
    "zeros": lambda device: torch.zeros(2, 3, dtype=torch.bool, device=device),
    "empty": lambda device: torch.empty(2, device=device),
    "full": lambda device: torch.full((2,), 3.0, device=device),
    "rand": lambda device: torch.rand(2, device=device),
    "randn": lambda device: torch.randn(2, device=device),
    "randint": lambda device: torch.randint(0, 9, (2,), device=device),
    "randperm": lambda device: torch.randperm(4, device=device),
    "arange": lambda device: torch.arange(4, device=device),
    "linspace": lambda device: torch.linspace(0, 1, 3, device=device),
    "eye": lambda device: torch.eye(2, device=device),
    "tensor": lambda device: torch.tensor([1.0, 2.0], device=device),
    "as_tensor": lambda device: torch.as_tensor(np.ones(2), device=device),
    "new_zeros": lambda device: torch.ones(1, device=device).new_zeros(2),
    "new_tensor": lambda device: torch.ones(1, device=device).new_tensor([1, 2]),
    "ones_like": lambda device: torch.ones_like(torch.ones(2, device=device)),
    "rand_like": lambda device: torch.rand_like(torch.ones(2, device=device)),
    "to": lambda device: torch.ones(2).to(device),
    "Linear": lambda device: nn.Linear(2, 2, device=device).weight,
    "Module.to": lambda device: nn.Linear(2, 2).to(device).weight,
}


@pytest.mark.parametrize("name", FACTORIES)
def test_tensors_are_made_on_the_device_that_is_named(name: str) -> None:
    for device in (THERE, OTHER):
        made = FACTORIES[name](device)
        assert made.device == torch.device(device)
        assert made.cpu().device.type == "cpu" and made.cpu().shape == made.shape
        assert (made + made).device == made.device


REFUSED: dict[str, Make] = {
    "a tensor of the CPU": lambda: on(THERE, 1, 2) + torch.ones(2),
    "one of another device": lambda: on(THERE, 1, 2) + on(OTHER, 1, 2),
    "a number of another device": lambda: on(THERE, 1, 2) + on(OTHER, 1)[0],
    "a matrix": lambda: torch.eye(2, device=THERE) @ torch.eye(2),
    "a layer on the CPU": lambda: nn.Linear(2, 2)(torch.ones(1, 2, device=THERE)),
    "a convolution on the CPU": lambda: nn.Conv2d(1, 1, 1)(torch.ones(1, 1, 2, 2, device=THERE)),
    "a condition": lambda: torch.where(torch.tensor([True, False]), on(THERE, 1, 2), 0),
    "a mask to fill": lambda: on(THERE, 1, 2).masked_fill(torch.tensor([True, False]), 0),
    "a mask to fill without dimensions": lambda: on(THERE, 1, 2).masked_fill_(torch.tensor(True), 0),
    "a mask to select": lambda: on(THERE, 1, 2).masked_select(torch.tensor([True, False])),
    "a mask to combine": lambda: (on(THERE, 1, 2) > 1) & torch.tensor([True, False]),
    "rows to select": lambda: on(THERE, 1, 2).index_select(0, torch.tensor([0])),
    "places to gather": lambda: on(THERE, 1, 2).gather(0, torch.tensor([0])),
    "numbers to scatter": lambda: on(THERE, 1, 2).scatter_(0, torch.tensor([0], device=THERE), torch.ones(1)),
    "sums by index": lambda: on(THERE, 1, 2).index_add_(0, torch.tensor([0]), on(THERE, 1)),
    "parts of a whole": lambda: torch.cat([on(THERE, 1), torch.ones(1)]),
    "numbers of a whole": lambda: torch.stack([on(THERE, 1)[0], torch.ones(())]),
    "indices for a tensor of the CPU": lambda: torch.ones(2)[torch.tensor([0], device=THERE)],
    "numbers at a mask": lambda: on(THERE, 1, 2).index_put_((torch.tensor([True, True]),), torch.ones(2)),
    "a place for results": lambda: torch.mm(torch.eye(2, device=THERE), torch.eye(2, device=THERE), out=torch.eye(2)),
    "a number that would take the sum": lambda: torch.ones(()).add_(on(THERE, 1)[0]),
    "labels": lambda: nn.functional.cross_entropy(torch.ones(1, 3, device=THERE), torch.tensor([1])),
    "a loss's target": lambda: nn.functional.mse_loss(on(THERE, 1), torch.ones(1)),
    "a generator": lambda: torch.rand(2, device=THERE, generator=torch.Generator()),
    "another device's generator": lambda: torch.rand(2, device=THERE, generator=torch.Generator(OTHER)),
    "a device that is not there": lambda: torch.ones(2, device="pretend:2"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cuda_refuses_is_refused(what: str) -> None:
    with pytest.raises(RuntimeError, match="device"):
        REFUSED[what]()


@pytest.mark.parametrize("convert", [lambda tensor: tensor.numpy(), np.asarray], ids=["numpy", "asarray"])
def test_numpy_is_refused(convert: Callable[[Tensor], object]) -> None:
    with pytest.raises(TypeError, match="can't convert pretend:0 device type tensor to numpy"):
        convert(on(THERE, 1))


def test_what_cuda_allows_is_allowed() -> None:
    tensor = on(THERE, 1, 2, 3)
    assert (tensor + torch.tensor(1.0)).tolist() == [2, 3, 4]
    assert tensor[torch.tensor([2, 0])].tolist() == [3, 1]
    assert tensor[torch.tensor([False, True, True])].tolist() == tensor[[1, 2]].tolist() == [2, 3]
    assert torch.where(tensor > 1, tensor, torch.tensor(0.0)).tolist() == [0, 2, 3]
    tensor[torch.tensor([True, False, False])] = torch.tensor(9.0)
    tensor[1:] = torch.tensor([5.0, 6.0])
    assert tensor.tolist() == [9, 5, 6] and float(tensor.sum()) == 20
    assert tensor.to(OTHER).device == torch.device(OTHER) and tensor.copy_(torch.zeros(3)).tolist() == [0, 0, 0]


def test_networks_learn_on_it_as_on_the_cpu() -> None:
    def weights(device: str, fused: bool) -> Tensor:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
        network.to(device)
        inputs, labels = torch.rand(8, 1, 4, 4).to(device), torch.arange(8, device=device) % 2
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01, fused=fused)
        for _ in range(3):
            nn.functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
        return network[0].weight.detach().cpu()

    for fused in (False, True):
        assert torch.allclose(weights(THERE, fused), weights("cpu", fused), atol=1e-6)


def test_autocast_computes_in_its_type() -> None:
    layer = nn.Linear(2, 2).to(THERE)
    with torch.autocast("pretend", dtype=torch.bfloat16):
        output = layer(torch.ones(1, 2, device=THERE))
    output.sum().backward()
    assert output.dtype is torch.bfloat16 and layer.weight.grad is not None
    assert layer.weight.grad.dtype is torch.float32


def test_its_random_numbers_are_its_own_and_follow_the_seed() -> None:
    torch.manual_seed(3)
    first, on_cpu = torch.rand(4, device=THERE), torch.rand(4)
    torch.manual_seed(3)
    assert torch.equal(on_cpu, torch.rand(4)) and torch.equal(first.cpu(), torch.rand(4, device=THERE).cpu())
    drawn = [torch.randperm(9, device=OTHER, generator=torch.Generator(OTHER).manual_seed(1)).tolist() for _ in "ab"]
    assert drawn[0] == drawn[1]


def test_copies_and_files_know_their_device() -> None:
    layer = nn.Linear(2, 2).to(OTHER)
    copied = copy.deepcopy(layer)
    assert isinstance(copied.weight, nn.Parameter) and copied.weight.device == torch.device(OTHER)
    assert torch.equal(copied.weight.cpu(), layer.weight.cpu()) and copied.weight is not layer.weight
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    for place, device in ((None, OTHER), ("cpu", "cpu")):
        file.seek(0)
        assert torch.load(file, map_location=place, weights_only=True)["weight"].device == torch.device(device)


def test_a_fork_of_a_process_that_has_used_it_cannot_use_it() -> None:
    torch.ones(1, device=THERE)
    process = os.fork()
    if process == 0:
        try:
            torch.ones(1, device=THERE)
        except RuntimeError as error:
            os._exit(7 if "forked" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
