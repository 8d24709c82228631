"""No function moves, or otherwise changes, the modules that it was given."""

import ast
import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import parity_exp
from parity_exp.coding import AdditionEncoder, BerrutCode, Code, ResidualDecoder
from parity_exp.data import Samples
from parity_exp.devices.placement import device_of, on_device
from parity_exp.models import MLP, predict
from parity_exp.serving.group_coder import ParityGroupCoder, WholeGroupCoder
from parity_exp.tasks import Classification
from parity_exp.training import Evaluator, NonSystematicEvaluator, code_costs

SHAPE, CLASSES = (1, 4, 4), 5
CPU = torch.device("cpu")


@pytest.fixture
def code() -> Code:
    return Code(AdditionEncoder(2, 1, SHAPE), ResidualDecoder(2, 1, (CLASSES,), extra_outputs=3))


@pytest.fixture
def base() -> nn.Module:
    return MLP(SHAPE, CLASSES, [8])


@pytest.fixture
def parity() -> nn.Module:
    return nn.Sequential(MLP(SHAPE, CLASSES + 3, [8]), nn.Dropout(0.5))


@pytest.fixture
def samples() -> Samples:
    return Samples(torch.rand(12, *SHAPE), torch.arange(12) % CLASSES)


Users = dict[str, Callable[[], object]]


@pytest.fixture
def users(code: Code, base: nn.Module, parity: nn.Module, samples: Samples) -> Users:
    """Everything outside of training that is given modules, by name."""
    task = Classification([str(number) for number in range(CLASSES)])
    predictions = torch.rand(12, CLASSES)

    def evaluate() -> None:
        evaluator = Evaluator(code, [parity], CPU)
        evaluator.evaluate(samples, predictions, task, [0.1], seed=0)
        evaluator.examples(samples, predictions, 0, 2)
        evaluator.outputs(samples, predictions, torch.arange(4).view(2, 2))

    def evaluate_whole_groups() -> None:
        evaluator = NonSystematicEvaluator(BerrutCode(2), base, CPU)
        evaluator.evaluate(samples, predictions, task, [0.1], seed=0)
        evaluator.examples(samples, predictions, 0, 2)

    return {
        "code_costs": lambda: code_costs(code, base, [parity]),
        "Evaluator": evaluate,
        "NonSystematicEvaluator": evaluate_whole_groups,
        "predict": lambda: predict(base, samples.inputs, CPU),
        "ParityGroupCoder": lambda: ParityGroupCoder(code, 1),
        "WholeGroupCoder": lambda: WholeGroupCoder(BerrutCode(2), 1),
    }


def state_of(module: nn.Module) -> list[tuple[object, ...]]:
    """All that somebody else who holds a module could notice, but for values."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    held = [(name, id(tensor), tensor.data_ptr(), tensor.device, tensor.requires_grad) for name, tensor in tensors]
    return [*held, *((name, part.training) for name, part in module.named_modules())]


@pytest.mark.parametrize(
    "user", ["code_costs", "Evaluator", "NonSystematicEvaluator", "predict", "ParityGroupCoder", "WholeGroupCoder"]
)
def test_modules_stay_where_and_as_they_are(
    users: Users, user: str, code: Code, base: nn.Module, parity: nn.Module
) -> None:
    parity[1].eval()  # one part in another mode than the whole
    before = [state_of(module) for module in (code, base, parity)]
    values = [copy.deepcopy(module.state_dict()) for module in (code, base, parity)]
    users[user]()
    assert [state_of(module) for module in (code, base, parity)] == before
    for module, kept in zip((code, base, parity), values, strict=True):
        assert all(torch.equal(weight, kept[key]) for key, weight in module.state_dict().items())


def test_predictions_of_a_module_in_training_mode_are_those_of_evaluation(parity: nn.Module, samples: Samples) -> None:
    """Dropout and the like are off in the copy."""
    first, second = (predict(parity, samples.inputs, CPU) for _ in range(2))
    assert torch.equal(first, second) and parity.training


def test_a_copy_on_another_device_shares_nothing_with_its_original(base: nn.Module) -> None:
    before = state_of(base)
    there = on_device(base, "meta")
    assert device_of(there) == torch.device("meta") and not there.training
    assert not any(weight.requires_grad for weight in there.parameters())
    assert device_of(base) == CPU and state_of(base) == before
    assert device_of(nn.ReLU()) == CPU


# -- the whole package


MOVES = {"to", "cpu", "cuda", "eval", "train", "half", "bfloat16", "double", "float", "requires_grad_"}
"""Methods that change a module in place, though they look like those of a tensor, which do not."""

OWNERS = {
    "models/operations.py": "a mode, which is put back",
    "models/torchvision_networks.py": "the network that it is building",
    "placement.py": "the copy that it has made",
    "serving/passes/running.py": "an instance's network, which a loader has made for it",
    "training/acceleration.py": "what fit trains",
    "training/fit.py": "what it trains",
    "training/networks.py": "a network that its caller has just made",
}
"""Files that may move a module, and whose it is."""


def moved_arguments(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every argument annotated as a module whose method from :data:`MOVES` is called."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        given = {
            argument.arg
            for argument in [*function.args.args, *function.args.kwonlyargs]
            if argument.annotation is not None and _is_module(ast.unparse(argument.annotation))
        }
        for call in ast.walk(function):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in MOVES):
                continue
            owner = call.func.value
            if isinstance(owner, ast.Subscript):
                owner = owner.value
            if isinstance(owner, ast.Name) and owner.id in given:
                yield call.lineno, f"{owner.id}.{call.func.attr}()"


def _is_module(annotation: str) -> bool:
    names = ("Module", "Code", "Encoder", "Decoder", "NonSystematicCode", "CodedModule", "TrainedModule")
    return any(word in annotation.replace("[", " ").replace("]", " ").replace(".", " ").split() for word in names)


def test_no_function_of_the_package_moves_an_argument() -> None:
    root = Path(parity_exp.__file__).parent
    found = [
        f"{path.relative_to(root)}:{line}: {what}"
        for path in sorted(root.rglob("*.py"))
        if str(path.relative_to(root)) not in OWNERS
        for line, what in moved_arguments(ast.parse(path.read_text()))
    ]
    assert not found


def test_a_function_that_moves_an_argument_is_found() -> None:
    source = (
        "def costs(code: Code, models: Sequence[nn.Module], queries: Tensor):\n    models[0].cpu(); queries.cpu()\n"
    )
    assert list(moved_arguments(ast.parse(source))) == [(2, "models.cpu()")]
