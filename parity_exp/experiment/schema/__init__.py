"""The schema of the config: every value's type and range, checked when the config is composed."""

from parity_exp.experiment.schema.checks import check_component, check_config, component_at
from parity_exp.experiment.schema.config import CONFIG_KINDS
from parity_exp.experiment.schema.signatures import find, signature_of
from parity_exp.values import kinds

__all__ = ["CONFIG_KINDS", "check_component", "check_config", "component_at", "find", "kinds", "signature_of"]
