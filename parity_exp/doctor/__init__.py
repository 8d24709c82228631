"""``doctor``: what there is on this machine and what is missing, with what brings it.

Whatever may fail, hang or crash is asked in a process of its own (:mod:`parity_exp.doctor.probe`, and a trial for each
device), so that a broken driver or library is a row like any other. Nothing is written outside of a temporary folder.
"""

from parity_exp.doctor.examination import examine
from parity_exp.doctor.findings import Finding, State

__all__ = ["Finding", "State", "examine"]
