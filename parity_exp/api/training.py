"""Train a code for a base model from a program or a notebook."""

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parity_exp.api.objects import (
    BASE_SCHEDULE,
    OPTIMIZER,
    SCHEDULE,
    Choices,
    Data,
    Network,
    splits_of,
    study_of,
)
from parity_exp.api.results import Evaluated
from parity_exp.api.studies import train_and_measure
from parity_exp.coding import Code, Decoder, Encoder, NonSystematicCode
from parity_exp.coding.generator import Generator
from parity_exp.devices.backends import load_backends
from parity_exp.models import Initialisation
from parity_exp.process.quiet import quiet_libraries
from parity_exp.recordings.run_directory import RunDirectory
from parity_exp.training import Measuring, Objective, Training
from parity_exp.training.modules import OptimizerFactory, ScheduleFactory
from parity_exp.training.rehearsal import rehearse


def train(
    data: Data,
    base: Network,
    *,
    k: int = 2,
    r: int = 1,
    code: Code | NonSystematicCode | Callable[..., NonSystematicCode] | None = None,
    encoder: Encoder | Callable[..., Encoder] | None = None,
    decoder: Decoder | Callable[..., Decoder] | None = None,
    generator: Generator | None = None,
    parity: Network | None = None,
    frozen: Collection[str] = (),
    initialisation: Initialisation | None = None,
    objective: Objective | Callable[[], Objective] | None = None,
    epochs: int = 100,
    batch_groups: int | None = None,
    optimizer: OptimizerFactory = OPTIMIZER,
    schedule: ScheduleFactory = SCHEDULE,
    base_epochs: int = 30,
    base_batch_size: int = 64,
    base_optimizer: OptimizerFactory = OPTIMIZER,
    base_schedule: ScheduleFactory = BASE_SCHEDULE,
    seed: int = 0,
    trainer: Mapping[str, Any] | None = None,
    measuring: Measuring | None = None,
    folder: str | Path | None = None,
    show_progress: bool = True,
) -> Evaluated:
    """Train a base model, where it is not trained yet, and a code for it; measure both on the test split.

    What is not given is as the commands have it by default: a sum of the queries, told apart by signs where networks
    are not convolutional, and a decoder that corrects linear decoding. Ten classes of digits::

        from parity_exp import train
        from parity_exp.data import Digits
        from parity_exp.models import MLP

        trained = train(Digits(name="digits"), MLP, k=2, epochs=20)
        print(trained.table)

    Args:
        data: a data set, its splits, or inputs ``(N, C, H, W)`` and labels ``(N,)`` or ``(N, 4)``.
        base: the base model F. A network is taken as it is, trained; what makes one of the shape of a query and the
            number of outputs, such as its class, is trained here.
        k: queries in a coding group, 2 or more.
        r: parity queries of a group, 1 or more.
        code: encoder and decoder as one object; or a code over copies of the base model, for which nothing is trained,
            or what makes one of k and its settings. None: made of the following.
        encoder: the encoder, which is trained as it is; or what makes one of ``k``, ``r``, ``query_shape`` and
            ``generator``, such as its class.
        decoder: the decoder; or what makes one of ``k``, ``r``, ``output_shape`` and ``generator``.
        generator: makes the generator matrix; None: Chebyshev nodes.
        parity: the parity models' network, as ``base`` is given; None: that of the base model.
        frozen: parts that are not trained, of ``encoder``, ``decoder`` and ``parity``. With ``parity``, copies of the
            base model run the parity queries.
        initialisation: how the parity models start.
        objective: what to minimise.
        epochs: epochs of the code.
        batch_groups: groups in a training batch; None: 64 for k = 2, otherwise 32.
        optimizer: makes the code's optimizer of parameters, such as ``functools.partial(torch.optim.Adam, lr=1e-3)``.
        schedule: makes its schedule of the optimizer and the number of steps.
        base_epochs: epochs of a base model that is trained here.
        base_batch_size: samples in its batches.
        base_optimizer: as ``optimizer``.
        base_schedule: as ``schedule``.
        seed: what all random numbers follow from.
        trainer: arguments of Lightning's Trainer, such as ``{"accelerator": "cpu"}``. In one process: several need a
            config, and are started by the command ``train``.
        measuring: how the code is measured.
        folder: where to write a run directory, from which the commands ``evaluate``, ``serve`` and ``report`` go on;
            everything given has to have a name then that can be imported. None: nothing is written.
        show_progress: show progress bars.

    Returns:
        Metrics, tables and figures, with the trained networks and their code.

    Raises:
        ValueError: arguments that do not go together, in one line.
        UserError: data or weights that are missing or damaged, or a folder that holds something else.
    """
    quiet_libraries()
    load_backends()
    choices = Choices(
        splits_of(data), base, k, r, code, encoder, decoder, generator, parity, frozenset(frozen), initialisation,
        objective, epochs, batch_groups, optimizer, schedule, base_epochs, base_batch_size, base_optimizer,
        base_schedule, seed, dict(trainer or {}),
    )  # fmt: skip
    study = study_of(choices)
    rehearse(study)
    how = measuring or Measuring()
    with _run(folder) as run:
        if folder is not None:
            from parity_exp.api.described import begin_run  # with Hydra, which nothing else needs

            study = begin_run(run, data, choices, study, how)
        trained = train_and_measure(study, Training(run, show_progress=show_progress), how)
        if folder is not None:
            trained = trained.kept(run)
    return trained


@contextmanager
def _run(folder: str | Path | None) -> Iterator[RunDirectory]:
    """The run directory, or one that lasts as long as the block."""
    if folder is not None:
        yield RunDirectory(folder)
        return
    with tempfile.TemporaryDirectory(prefix="parity-exp-") as temporary:
        yield RunDirectory(temporary)
