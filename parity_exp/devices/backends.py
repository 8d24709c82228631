"""Devices that torch learns of from other packages, in every process of a job.

A package that brings a device (``torch_xyz`` for ``xyz:0``) has to be imported before tensors can be there. Most say so
to torch themselves (the entry point ``torch.backends``); modules that do not are named in the environment variable
``PARITY_EXP_BACKENDS``, separated by commas. They are imported by whatever computes: the job itself, the processes that
train with it, instances, and what disturbs these. It is no value of a config, since a run directory that comes from
somebody else must not say what is imported here.

The device is then chosen as any other: ``trainer.accelerator=xyz``, where the module also registers an accelerator of
that name with Lightning (``AcceleratorRegistry.register``), and ``pool.devices=[xyz:0,xyz:1]``.
"""

import importlib
import os
from collections.abc import Iterable

from parity_exp.errors import UserError

MODULES = "PARITY_EXP_BACKENDS"


def named_backends() -> tuple[str, ...]:
    """The modules that the environment names; whoever starts a process tells it, since it may have another one."""
    return tuple(word.strip() for word in os.environ.get(MODULES, "").split(",") if word.strip())


def load_backends(names: Iterable[str] | None = None) -> None:
    """Import modules that bring devices; what is imported already costs nothing.

    Args:
        names: which; None: those that the environment names.

    Raises:
        UserError: one cannot be imported, with the reason.
    """
    for name in named_backends() if names is None else names:
        try:
            importlib.import_module(name)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"{MODULES}={name}: cannot be imported ({type(error).__name__}: {reason}); name modules that can, "
                "separated by commas, or unset it"
            ) from error
