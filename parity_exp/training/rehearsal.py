"""Find out what cannot work before anything is trained or written: one step on two groups, not taken."""

from typing import Any

import torch
from torch import nn

from parity_exp.data import GroupBatch, Splits
from parity_exp.training.coded_model import DECODER, ENCODER, PARITY, CodedModel
from parity_exp.training.labelled_model import LabelledModel
from parity_exp.training.machine import Machine
from parity_exp.training.modules import CodedModule, Optimisation
from parity_exp.training.networks import UnfitNetworkError, learns_alone
from parity_exp.training.study import AveragedModels, Study


class UnfitError(ValueError):
    """Choices that do not go together, or that come to nothing.

    Attributes:
        model: whose choices they are: ``base``, ``backup`` or ``coded``.
        kind: what is wrong, one word for each thing that can be: ``nothing_trained``, ``never_validated``,
            ``optimizer``, ``scheduler``, ``alone``, ``no_gradient``.
        values: what the message speaks of, by name.
    """

    def __init__(self, model: str, kind: str, message: str, **values: Any) -> None:
        super().__init__(message)
        self.model = model
        self.kind = kind
        self.values = values


def rehearse(study: Study) -> None:
    """Take a study's first steps, as far as that costs next to nothing.

    Raises:
        UnfitError: choices that do not go together.
        CheckpointError: given weights are missing, unreadable, or of another network.
    """
    splits, machine, coded = study.splits, study.machine, study.coded
    if isinstance(coded, CodedModel) and not coded.trained:
        raise UnfitError("coded", "nothing_trained", "no part of the code is trained: let one of them be")
    base = rehearse_labelled(study.base, splits, machine)
    if not isinstance(coded, CodedModel):
        machine.trainer(max_epochs=1)()
        for member in coded.members if isinstance(coded, AveragedModels) else ():
            rehearse_labelled(member, splits, machine)
        return
    _check_validated("coded", coded.epochs, machine)
    machine.trainer(max_epochs=1)()
    module = coded.module(base, splits)
    _check_optimisation("coded", coded.optimisation, module)
    if PARITY in coded.trained and 1 in (coded.batch_groups, len(splits.train) // coded.code.k):
        for network in module.parity_models:
            _check_alone("coded", network, coded.code.encoder.parity_shape)
    _check_gradients(coded, module.eval(), base.eval(), splits)
    # The rehearsal left gradients in the code and settled which of its parts are trained.
    coded.code.zero_grad(set_to_none=True)
    coded.code.train()


def rehearse_labelled(model: LabelledModel, splits: Splits, machine: Machine) -> nn.Module:
    """Find out whether a model can be had as it is described; return it, untrained unless its weights are given.

    Raises:
        UnfitError: choices that cannot be.
        CheckpointError: the given weights are missing, unreadable, or of another network.
    """
    network = model.new_network()
    if model.given is not None:
        model.given(network)
    else:
        _check_validated(model.name, model.epochs, machine)
    _check_optimisation(model.name, model.optimisation, network)
    if model.given is None and 1 in (model.batch_size, len(splits.train)):
        _check_alone(model.name, network, splits.query_shape)
    return network


def _check_alone(model: str, network: nn.Module, shape: tuple[int, ...]) -> None:
    """Refuse a network that cannot learn from one sample at a time, where batches have no more."""
    try:
        learns_alone(network, shape)
    except UnfitNetworkError as error:
        raise UnfitError(model, "alone", f"the {model} model: {error}") from error.__cause__


def _check_validated(model: str, epochs: object, machine: Machine) -> None:
    """Refuse a training none of whose epochs is validated, for the best one is chosen by that."""
    every = machine.validates_every
    if isinstance(every, int) and isinstance(epochs, int) and every > epochs:
        raise UnfitError(
            model, "never_validated",
            f"validation every {every} epochs: of the {epochs} epochs of the {model} model none is validated, and none "
            "can be chosen; validate more often, or train longer",
            every=every, epochs=epochs,
        )  # fmt: skip


def _check_optimisation(model: str, optimisation: Optimisation, module: nn.Module) -> None:
    """Make an optimizer and a schedule once, for their arguments are looked at only then."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    kind = "optimizer"
    try:
        optimizer = optimisation.optimizer(trained)
        kind = "scheduler"
        optimisation.schedule(optimizer, 100)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UnfitError(model, kind, f"{kind} of the {model} model: {reason}", reason=reason) from None


def _check_gradients(coded: CodedModel, module: CodedModule, base: nn.Module, splits: Splits) -> None:
    """Refuse an objective that does not depend on a part that it is to train."""
    code = coded.code
    groups = torch.arange(2 * code.k).view(2, code.k) % len(splits.train)
    inputs = splits.normalise(splits.train.inputs[groups.flatten()])
    with torch.no_grad():
        prepared = code.encoder.prepare(inputs).unflatten(0, groups.shape)
        predictions = base(inputs).unflatten(0, groups.shape)
    batch = GroupBatch(prepared, predictions, splits.train.labels[groups], torch.ones_like(groups, dtype=torch.bool))
    module.loss(batch).backward()
    parts = {ENCODER: code.encoder, DECODER: code.decoder, PARITY: module.parity_models}
    for name, part in parts.items():
        if name in coded.trained and all(parameter.grad is None for parameter in part.parameters()):
            objective = type(module.objective).__name__
            raise UnfitError(
                "coded", "no_gradient",
                f"the objective ({objective}) does not depend on the {name}, which it is to train; choose an objective "
                f"of the reconstruction, such as DecodedKL, or another {name}",
                objective=objective, part=name,
            )  # fmt: skip
