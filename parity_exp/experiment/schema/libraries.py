"""What arguments of other libraries' classes may be, which say it in prose only: Lightning's Trainer, optimizers."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt, MinLen

from parity_exp.ranges import Epochs, Matches, Text

TRAINER: dict[str, Any] = {
    "accelerator": Text,
    "strategy": Text,
    "devices": Annotated[int, Ge(1), Le(1024)]
    | Literal[-1, "auto"]
    | Annotated[str, Matches(r"-1|\d+(,\d+)*", "numbers of devices")]
    | Annotated[Sequence[Annotated[int, Ge(0), Le(1023)]], MinLen(1)],
    "num_nodes": Annotated[int, Ge(1), Le(10_000)],
    "precision": Literal[
        "transformer-engine", "transformer-engine-float16", "16-true", "16-mixed", "bf16-true", "bf16-mixed",
        "32-true", "64-true", "64", "32", "16", "bf16", 64, 32, 16,
    ],
    "max_epochs": Epochs,
    "check_val_every_n_epoch": Epochs,
    "deterministic": bool | Literal["warn"],
    "logger": bool,
    "benchmark": bool | None,
    "enable_progress_bar": bool,
    "enable_model_summary": bool,
    "enable_checkpointing": bool,
    "num_sanity_val_steps": Annotated[int, Ge(-1), Le(10**6)],
    "use_distributed_sampler": bool,
}  # fmt: skip

Rate = Annotated[float, Gt(0), Le(1e30)]
"""Which of them is too much shows in training alone, which then says so."""
Decay = Annotated[float, Ge(0), Lt(1)]

OPTIMIZER: dict[str, Any] = {
    "lr": Rate,
    "betas": Annotated[Sequence[Decay], Len(2, 2)],
    "eps": Annotated[float, Gt(0), Le(1)],
    "weight_decay": Annotated[float, Ge(0), Le(1000)],
    "momentum": Decay,
    "dampening": Annotated[float, Ge(0), Le(1)],
    "alpha": Decay,
    "rho": Decay,
}

TRAINER_NAMES = ("pytorch_lightning.Trainer", "lightning.pytorch.Trainer")


def annotations_of_libraries(target: str) -> Mapping[str, Any]:
    """Annotations that are narrower than the library's own, for a class by its dotted name; nothing for others."""
    if target in TRAINER_NAMES:
        return TRAINER
    return OPTIMIZER if target.startswith("torch.optim.") else {}
