"""The lines that refuse a study which cannot work: what training finds out, with the keys that mend it."""

from collections.abc import Iterator
from contextlib import contextmanager

from parity_exp.errors import ConfigError
from parity_exp.experiment import library_errors
from parity_exp.models.initialisation import UnlikeBaseError
from parity_exp.policies.policy import BASE
from parity_exp.training.coded_model import PARITY
from parity_exp.training.rehearsal import UnfitError

MEMBERS = "members"
"""The section of the k models of a code over models."""

LINES = {
    "nothing_trained": (
        "there is nothing to train: parity.trainable is false, and encoder and decoder have no parameters, or "
        "trainable.encoder and trainable.decoder are false; choose encoder=conv or decoder=mlp, or set one of them to "
        "true"
    ),
    "never_validated": (
        "trainer.check_val_every_n_epoch={every}: with {epochs_key}={epochs} no epoch is validated, and none can be "
        "chosen; set it to {epochs} or less, or {epochs_key} to {every} or more"
    ),
    "optimizer": "{section}optimizer: {reason}",
    "scheduler": "{section}scheduler: {reason}",
    "alone": "{batch_key}: batches have one sample: {reason}",
    "no_gradient": (
        "objective ({objective}) does not depend on the {part}, which is to be trained ({part_key}); choose an "
        "objective of the reconstruction, such as objective=kl, or another {part}"
    ),
}
"""By kinds of :class:`parity_exp.training.rehearsal.UnfitError`."""


@contextmanager
def with_keys() -> Iterator[None]:
    """Say with keys of the config what a rehearsal in this block finds unfit.

    Raises:
        ConfigError: in place of an UnfitError.
    """
    try:
        yield
    except UnlikeBaseError as error:
        raise ConfigError(
            f"initialisation=base: the parity architecture's weights do not fit the base model's ({error.weight}); "
            "give architecture@parity.architecture the same network, or choose initialisation=default"
        ) from None
    except UnfitError as error:
        coded = error.model == "coded"
        section = MEMBERS if error.model.startswith(f"{BASE}-") else error.model
        values = {
            "section": "" if coded else f"{section}.",
            "epochs_key": "trainer.max_epochs" if coded else f"{section}.max_epochs",
            "batch_key": "batch_groups" if coded else f"{section}.batch_size",
            **error.values,
        }
        part = values.get("part")
        values["part_key"] = "parity.trainable" if part == PARITY else f"trainable.{part}"
        if isinstance(error.__cause__, Exception):
            cause = error.__cause__
            values["reason"] = library_errors.explained(cause) or library_errors.in_one_line(cause)
        raise ConfigError(LINES[error.kind].format(**values)) from None
