"""Trained base models, kept for every job that needs the same one: whoever comes first trains it, others wait.

A folder for each model, named by the hash of everything that determines it. Only a training that ended as planned is
marked as done. One that was cut short leaves its state, from which a job with the same settings goes on.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from parity_exp.errors import UserError
from parity_exp.files.identity import Facts, Identity
from parity_exp.files.writing import write_json
from parity_exp.models import load_weights
from parity_exp.models.checkpoint import load_content
from parity_exp.recordings.names import HISTORY, LAST, checkpoint_of
from parity_exp.training.fit import Fitted
from parity_exp.training.labelled_model import LabelledModel

log = logging.getLogger(__name__)

WEIGHTS, STATE, DONE = checkpoint_of("base"), checkpoint_of(LAST), "fitted.json"


def cached(model: LabelledModel, folder: Path, train: Callable[[Path, Path], Fitted]) -> Fitted:
    """What training a model came to, by whoever did it; its weights and history are in the folder then.

    Args:
        model: what is wanted; it has facts.
        folder: its place in the cache.
        train: trains it, given the folder and the history's file.
    """
    assert model.facts is not None
    facts = model.facts()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another job trains the same %s model; waiting for it (%s)", model.name, folder)
        lock.acquire()
    try:
        fitted = _finished(model, facts, folder)
        if fitted is not None:
            log.info("%s model: the one in %s, trained earlier", model.name, folder)
            return fitted
        _remove_damaged(folder, facts)
        Identity("base", facts).write(folder)
        fitted = train(folder, folder / HISTORY)
        if fitted.whole:
            write_json(folder / DONE, asdict(fitted))
            (folder / STATE).unlink(missing_ok=True)
        else:
            log.warning("the %s model's training was cut short after %d epochs", model.name, fitted.epochs)
    finally:
        lock.release()
    return fitted


def _finished(model: LabelledModel, facts: Facts, folder: Path) -> Fitted | None:
    """What training in a cache folder came to; None where it has not ended, or its files are not whole."""
    done = folder / DONE
    if not done.is_file():
        return None
    try:
        fitted = Fitted(**json.loads(done.read_text()))
        pd.read_csv(folder / HISTORY)["train/seconds"]
        load_weights(folder / WEIGHTS, model.new_network(), "cached model")
        identity = Identity.read(folder)
        if identity is None or identity.key != Identity("base", facts).key or not fitted.whole:
            raise ValueError("made from something else")
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        log.warning("%s is marked as done, but not whole (%s); the model is trained anew", folder, reason)
        return None
    return fitted


def _remove_damaged(folder: Path, facts: Facts) -> None:
    """Remove what training cannot go on from."""
    (folder / DONE).unlink(missing_ok=True)
    last = folder / STATE
    identity = Identity.read(folder)
    if not last.is_file():
        return
    try:
        load_content(last, "the state of training in")
        if identity is not None and identity.key == Identity("base", facts).key:
            return
    except UserError as error:
        log.warning("%s; the model is trained anew", error)
    last.unlink()
