"""The schema of the config: for every key its type and range, or the component that its class describes.

The arguments of components are in their classes' annotations (see :mod:`parity_exp.ranges`); what belongs to no class
is here, once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from parity_exp.ranges import (
    MOST_INSTANCES,
    BatchSize,
    Count,
    Delay,
    Epochs,
    EpochsOrNone,
    Few,
    Frontends,
    Matches,
    NotNegative,
    Positive,
    PositiveShare,
    Seed,
    Share,
    Text,
)


@dataclass(frozen=True)
class Component:
    """An object that the config describes by its class and arguments.

    Attributes:
        kind: dotted name of the class that it is an object of.
        partial: the class gets its last arguments later (``_partial_: true``).
        optional: null stands for another component's settings.
        experiment: settings that others read as well, with their types. A class that can take one gets it.
        program: arguments that the program gives and nobody types.
        networks: whether only commands need it that need networks.
        needed: keys that cannot be left out, since others than the class read them.
    """

    kind: str
    partial: bool = False
    optional: bool = False
    experiment: Mapping[str, Any] = field(default_factory=dict)
    program: frozenset[str] = frozenset()
    networks: bool = True
    needed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Named:
    """Components under names of their own, one for each that was chosen.

    Attributes:
        component: what each of them is.
        words: what is to be given, for messages.
        wanted: whether there has to be one.
    """

    component: Component
    words: str
    wanted: bool = False


def _coder(kind: str, *more: str) -> Component:
    program = frozenset({"k", "r", "generator", *more})
    return Component(f"parity_exp.coding.{kind}", optional=True, program=program)


def _architecture(optional: bool) -> Component:
    program = frozenset({"input_shape", "outputs"})
    return Component("torch.nn.Module", optional=optional, program=program)


OF_CODES = frozenset({"k", "r", "encoder", "decoder", "query_shape", "output_shape", "tagged"})
CODE = Component("parity_exp.coding.NonSystematicCode", optional=True, program=frozenset({"k"}), networks=False)
OPTIMIZER = Component("torch.optim.Optimizer", partial=True, program=frozenset({"params"}))
SCHEDULER = Component("", partial=True, program=frozenset({"optimizer", "total_steps"}))
DISTRIBUTION = Component("parity_exp.disturbances.Distribution", networks=False)

OF_TRAINER = (
    "accelerator",
    "devices",
    "strategy",
    "max_epochs",
)

TRAINED = {
    "checkpoint": Text | None,
    "max_epochs": EpochsOrNone,
    "batch_size": BatchSize,
    "seed": Seed,
    "optimizer": OPTIMIZER,
    "scheduler": SCHEDULER,
}
"""A network that learns labels."""

Port = Annotated[int, Ge(0), Le(65535)]

OBJECTIVES = Positive | Sequence[Positive] | None

POLICY_NAME = Annotated[str, Matches(r"[\w.-]+", "a name of letters, digits, dots and dashes")]

CONFIG: dict[str, Any] = {
    "k": Annotated[int, Ge(2), Le(1000)],
    "r": Few,
    "seed": Seed,
    "groups": {"correlated": Share},
    "frontends": Frontends,
    "frontend_split": Literal["random", "round_robin"],
    "batch_groups": Annotated[int, Ge(1), Le(10**6)] | None,
    "sweep": Mapping[str, Any],
    "compare": {
        "rivals": Mapping[str, Any],
        "only": Annotated[Sequence[Text], MinLen(1)] | None,
    },
    "outputs": Text,
    "run": Text | Annotated[Sequence[Text], MinLen(1)] | Annotated[Mapping[Any, Text], MinLen(1)] | None,
    "runs": Text | Annotated[Sequence[Text], MinLen(1)] | None,
    "resume": Text | None,
    "trust": Sequence[Annotated[str, Matches(r"[^\W\d]\w*(\.[^\W\d]\w*)*", "names of modules")]],
    "task": Component("parity_exp.tasks.Task", optional=True),
    "dataset": Component("parity_exp.data.Dataset", needed=("name",)),
    "epochs": {"code": Epochs, "fast": Epochs, "base": Epochs},
    "architecture": _architecture(optional=False),
    "position_code": Component("parity_exp.coding.PositionCode"),
    "encoder": _coder("Encoder", "query_shape"),
    "decoder": _coder("Decoder", "output_shape"),
    "generator": Component("", optional=True),
    "objective": Component("parity_exp.training.Objective", optional=True),
    "optimizer": OPTIMIZER,
    "scheduler": SCHEDULER,
    "initialisation": Component("parity_exp.models.initialisation.Initialisation", optional=True),
    "code": Component("", program=OF_CODES, networks=False),
    "trainer": Component("pytorch_lightning.Trainer", needed=OF_TRAINER),
    "trainable": {"encoder": bool | None, "decoder": bool | None},
    "optimisation": {"accumulate_grad_batches": Count, "gradient_clip_val": Positive | None},
    "acceleration": {"cuda_graphs": bool, "tf32": bool, "channels_last": bool},
    "tracker": Component("parity_exp.tracking.Tracker", networks=False),
    "base": {**TRAINED, "architecture": _architecture(optional=True)},
    "parity": {
        "convolutional": bool | None,
        "extra_outputs": Annotated[int, Ge(0), Le(2**16)] | None,
        "trainable": bool,
        "architecture": _architecture(optional=True),
    },
    "backup": {
        **TRAINED,
        "architecture": _architecture(optional=True),
        "share": PositiveShare | None,
        "distillation": Share,
    },
    "multiplexed_backup": {
        **TRAINED,
        "architecture": _architecture(optional=True),
        "distillation": Share,
        "start": bool,
    },
    "members": {
        "checkpoints": Sequence[Text] | None,
        "data": Literal["share", "all"],
        **{name: kind for name, kind in TRAINED.items() if name != "checkpoint"},
    },
    "redundancy": Named(
        Component(
            "parity_exp.policies.policy.Policy",
            experiment={
                "code": CODE,
                "ejection": Component("parity_exp.policies.ejection.Ejection", optional=True, networks=False),
            },
            program=frozenset({"k", "r", "order", "needed"}),
            networks=False,
        ),
        "a list of policies, such as redundancy=[equal_resources,parity]",
        wanted=True,
    ),
    "straggler": Named(
        Component("parity_exp.disturbances.Straggler", networks=False),
        "a list of stragglers, such as straggler=[shuffle]",
    ),
    "load": Component("parity_exp.load.Load", networks=False),
    "pool": Component(
        "parity_exp.serving.pool.Pool",
        experiment={
            "instances": Annotated[int, Ge(1), Le(MOST_INSTANCES)],
            "batch_size": BatchSize,
            "batch_window_ms": Delay,
        },
        networks=False,
        needed=("instances", "batch_size", "batch_window_ms"),
    ),
    "queue": Component(
        "parity_exp.policies.queues.Queues", partial=True, program=frozenset({"role", "first"}), networks=False
    ),
    "simulate": {
        "calibrate": Text | None,
        "service_time": DISTRIBUTION,
        "service_time_ms": Positive | None,
        "backup_ratio": Positive,
        "multiplexed_ratio": Positive,
        "network": DISTRIBUTION,
        "network_ms": Delay | None,
        "restart": DISTRIBUTION,
        "restart_ms": Delay,
        "prefetch": Annotated[int, Ge(1), Le(10**6)],
        "interrupt_ms": Delay | None,
        "seeds": Annotated[int, Ge(1), Le(10**5)],
        "processes": Annotated[int, Ge(1), Le(4096)] | None,
        "ray": Text | None,
        "accuracy": Annotated[Sequence[Share], MinLen(2), MaxLen(2)] | None,
    },
    "plan": {
        "slo_ms": OBJECTIVES,
        "slo_times_p50": OBJECTIVES,
        "percentile": Annotated[float, Gt(0), Le(100)],
        "most_instances": Annotated[int, Ge(1), Le(MOST_INSTANCES)],
        "least_utilisation": PositiveShare,
        "precision": Annotated[float, Ge(0), Le(0.5)],
        "per_instance": Mapping[str, Positive] | None,
    },
    "port": Port,
    "grpc_port": Port | None,
    "endpoint": {
        "host": Text,
        "model": Annotated[str, Matches(r"[\w.-]+", "a name of letters, digits, dots and dashes")],
        "queue": Annotated[int, Ge(1), Le(10**6)],
        "batch": Annotated[int, Ge(1), Le(10**5)],
        "body_mb": Annotated[float, Gt(0), Le(2000)],
        "in_flight_mb": Annotated[float, Gt(0), Le(1_000_000)],
        "deadline_ms": Positive | None,
        "drain_s": Annotated[float, Ge(0), Le(86_400)],
        "client_timeout_s": Annotated[float, Gt(0), Le(86_400)],
        "connections": Annotated[int, Ge(1), Le(10**6)],
        "record": Annotated[int, Ge(1), Le(10**7)],
        "straggler_s": Annotated[float, Gt(0), Le(10**6)],
        "token_file": Text | None,
        "tls_cert": Text | None,
        "tls_key": Text | None,
    },
    "url": Annotated[str, Matches(r"\w+://\S+", "http://HOST:PORT, https://, grpc:// or grpcs://")] | None,
    "name": POLICY_NAME,
    "model": Text | None,
    "model_version": Annotated[int, Ge(1), Le(2**63 - 1)] | Text | None,
    "client": {
        "batch": Annotated[int, Ge(1), Le(10**5)],
        "deadline_ms": Positive | None,
        "exact": bool,
        "timeout_s": Annotated[float, Gt(0), Le(86_400)],
        "connections": Annotated[int, Ge(1), Le(20_000)],
        "binary": bool | None,
        "input": Text | None,
        "output": Text | None,
        "shape": Sequence[Annotated[int, Ge(1), Le(2**31 - 1)]] | None,
        "datatype": Literal[
            "BOOL",
            "UINT8",
            "UINT16",
            "UINT32",
            "UINT64",
            "INT8",
            "INT16",
            "INT32",
            "INT64",
            "FP16",
            "FP32",
            "FP64",
            "BF16",
        ]
        | None,
        "token_file": Text | None,
        "tls_ca": Text | None,
        "tls_insecure": bool,
    },
    "evaluation": {
        "seed": Seed,
        "groupings": Annotated[int, Ge(1), Le(10**4)],
        "backups": Sequence[Literal["backup", "multiplexed_backup"]],
        "noise_sigmas": Sequence[NotNegative],
        "fractions_unavailable": Annotated[Sequence[Share], MinLen(1)],
    },
}
"""Every key of the config."""

CONFIG_KINDS = sorted(
    {
        component.kind
        for entry in CONFIG.values()
        for one in (entry.values() if isinstance(entry, dict) else [entry])
        for component in [one.component if isinstance(one, Named) else one]
        if isinstance(component, Component) and component.kind.startswith("parity_exp.")
    }
    | {CODE.kind}
)
"""Base classes of this package's components."""

HYDRAS = {
    "_target_": Annotated[str, Matches(r"[^\W\d]\w*(\.[^\W\d]\w*)+", "a class in a module, such as my_codes.MyCode")],
    "_partial_": bool,
    "_convert_": Annotated[str, Matches("none|partial|object|all", "none, partial, object or all")],
    "_recursive_": bool,
    "_args_": Sequence[Any],
}
"""Keys of components that Hydra reads."""
