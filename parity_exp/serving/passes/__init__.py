"""How an instance runs models on its device."""

from parity_exp.serving.passes.acceleration import Acceleration
from parity_exp.serving.passes.hardware import Hardware
from parity_exp.serving.passes.running import Passes

__all__ = ["Acceleration", "Hardware", "Passes"]
