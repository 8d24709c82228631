"""A server that is asked over the network, where tables and figures have policies."""

from collections.abc import Sequence
from typing import ClassVar

from parity_exp.policies.look import Look
from parity_exp.policies.no_redundancy import NoRedundancy


class Remote(NoRedundancy):
    """A server that answers over the network; what it does inside is its own."""

    looks: ClassVar[Sequence[Look]] = ()  # type: ignore[assignment]
