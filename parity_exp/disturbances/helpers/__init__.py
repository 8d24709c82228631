"""Real processes that disturb a run from outside: what they do, and how they are run beside the instances."""

from parity_exp.disturbances.helpers.burner import Burner
from parity_exp.disturbances.helpers.helper import Helper, Work
from parity_exp.disturbances.helpers.tenant_service import TenantService

__all__ = ["Burner", "Helper", "TenantService", "Work"]
