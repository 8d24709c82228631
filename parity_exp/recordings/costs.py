"""What answering has cost, counted in queries that instances were given: one definition, for serving and simulation."""

from collections.abc import Mapping
from dataclasses import dataclass

COSTS: Mapping[str, str] = {
    "instances": "instances",
    "extra_instances": "extra instances",
    "tasks_per_query": "tasks a query",
    "extra_queries": "extra queries",
    "parity_queries": "parity queries",
    "encode_us": "encode us",
    "encode_s": "encode s",
    "decode_us": "decode us",
    "decode_s": "decode s",
    "frontend_us": "frontend us",
    "relay_us": "relay us",
    "throughput_qps": "throughput q/s",
}
"""What a policy costs: metrics without ``serve/<policy>/``, and how they are called in tables."""


@dataclass
class Given:
    """How many queries instances were given; a task of a batch counts its queries.

    Attributes:
        first: clients' queries, each when it was given to an instance for the first time.
        parity: parity queries; of a non-systematic code its coded queries.
        repeated: clients' queries once more: replicas, hedges, backups, and what was sent again after a failure.
    """

    first: int = 0
    parity: int = 0
    repeated: int = 0

    def costs(self, answered: int, instead: bool) -> dict[str, float]:
        """The metrics of cost that serving and simulation have in common.

        ``tasks_per_query`` is how many queries instances were given for each one answered; of these, ``extra_queries``
        were not a client's query for the first time. Coded queries that go out in the place of clients' queries are
        extra as far as they are more than these: all that were given less those that were answered.

        Args:
            answered: clients' queries that have an answer, of whatever kind.
            instead: coded queries go out in the place of clients' queries.
        """
        given = self.first + self.parity + self.repeated
        extra = max(given - answered, 0) if instead else given - self.first
        return {
            "parity_queries": float(self.parity),
            "tasks_per_query": given / max(answered, 1),
            "extra_queries": float(extra),
        }
