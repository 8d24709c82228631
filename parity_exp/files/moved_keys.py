"""Keys of the config by the places that they had in the last release, for what was kept under them.

To be taken away with the next release.
"""

from collections.abc import Mapping
from typing import Any

NOW: dict[str, str | None] = {
    "dataset.epochs": "epochs.code",
    "dataset.fast_epochs": "epochs.fast",
    "dataset.base_epochs": "epochs.base",
    "encoder.trainable": "trainable.encoder",
    "decoder.trainable": "trainable.decoder",
    "architecture.convolutional": "parity.convolutional",
    "parity.architecture.convolutional": "parity.convolutional",
    "base.architecture.convolutional": None,
    "backup.architecture.convolutional": None,
    "trainer.cuda_graphs": "acceleration.cuda_graphs",
    "trainer.tf32": "acceleration.tf32",
    "trainer.channels_last": "acceleration.channels_last",
    "trainer.accumulate_grad_batches": "optimisation.accumulate_grad_batches",
    "trainer.gradient_clip_val": "optimisation.gradient_clip_val",
}
"""Each old place, and the new one; None: nobody read it there."""


def moved_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Values by flat key, as runs and checkpoints keep them, with everything in its new place."""
    return {NOW.get(key) or key: value for key, value in facts.items() if NOW.get(key, key) is not None}
