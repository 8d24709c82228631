"""How long tasks and messages take, and instances are gone, in a simulation."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from parity_exp.checks import SettingError, check_setting
from parity_exp.disturbances import Constant, Distribution
from parity_exp.policies.policy import BACKUP, BASE, MULTIPLEXED
from parity_exp.ranges import Delay, Positive
from parity_exp.simulation.measured_times import MeasuredTimes
from parity_exp.simulation.random_times import Scaled

SERVICE_TIME_MS = 20.0


@dataclass(frozen=True)
class Times:
    """Distributions of times, in seconds.

    Attributes:
        service: of a task, by model; for models that have none of their own, that of the base model.
        restart: until a killed instance is back.
        network: of messages, there and back; None: they take no time.
        task_s: mean time of a base model's task.
        query_s: how long a base instance takes for a query, where that was measured; None: as a full batch allows.
        capacity_qps: queries a second that so many base instances served together; None: as if each were alone.
        measured_instances: how many these were.
        has_backup: whether anything is known of a small model.
    """

    service: Mapping[str, Distribution]
    restart: Distribution
    task_s: float
    network: tuple[Distribution, Distribution] | None = None
    query_s: float | None = None
    capacity_qps: float | None = None
    measured_instances: int | None = None
    has_backup: bool = True

    @classmethod
    def of(
        cls,
        *,
        service_time_ms: Positive | None = None,
        service_time: Distribution | None = None,
        backup_ratio: Positive = 1.0,
        multiplexed_ratio: Positive = 1.0,
        network_ms: Delay | None = None,
        network: Distribution | None = None,
        restart_ms: Delay = 50.0,
        restart: Distribution | None = None,
        measured: MeasuredTimes | None = None,
    ) -> "Times":
        """Times from shapes and means, or as they were measured; see :func:`parity_exp.simulate`.

        Raises:
            SettingError: a value that cannot be, or a distribution without a mean.
        """
        check_setting("service_time_ms", service_time_ms, Positive | None)
        check_setting("backup_ratio", backup_ratio, Positive)
        check_setting("multiplexed_ratio", multiplexed_ratio, Positive)
        check_setting("network_ms", network_ms, Delay | None)
        check_setting("restart_ms", restart_ms, Delay)
        gone = Scaled(_shape("restart", restart), restart_ms / 1e3)
        shape, way = _shape("service_time", service_time), _shape("network", network)
        if measured is None:
            mean_s = (SERVICE_TIME_MS if service_time_ms is None else service_time_ms) / 1e3
            ratios = {BASE: 1.0, BACKUP: backup_ratio, MULTIPLEXED: multiplexed_ratio}
            service = {model: Scaled(shape, mean_s * ratio) for model, ratio in ratios.items()}
            return cls(service, gone, mean_s, _network(way, network_ms))
        if network_ms is None:
            messages: tuple[Distribution, Distribution] | None = (measured.there, measured.back)
        else:
            messages = _network(way, network_ms)
        return cls(
            measured.service,
            gone,
            measured.service[BASE].expected(),
            messages,
            query_s=measured.query_s,
            capacity_qps=measured.capacity_qps,
            measured_instances=measured.instances,
            has_backup=BACKUP in measured.service,
        )

    def described(self) -> dict[str, float]:
        """Their means in milliseconds, as far as they are said in numbers."""
        means = {"service_time_ms": self.task_s * 1e3, "restart_ms": self.restart.expected() * 1e3}
        return means if self.network is None else means | {"network_ms": self.network[0].expected() * 1e3}

    def of_models(self, names: Collection[str]) -> dict[str, Distribution]:
        """The distribution of each of some models.

        Raises:
            SettingError: times were measured, and not of the small model.
        """
        if BACKUP in names and not self.has_backup:
            raise SettingError(
                "{measured}: the run has not served the small model, which an approximate backup needs; leave "
                "approximate_backup out"
            )
        # Parity models, and one that runs k queries in a task, are as large as the base model: where a run had none,
        # they take its times.
        return {name: self.service.get(name, self.service[BASE]) for name in names}

    def query_seconds(self, batch_size: int) -> float:
        """How long a base instance takes for a query of a full batch."""
        return self.query_s or self.task_s / batch_size

    def capacity(self, instances: int) -> float | None:
        """What so many base instances serve together, in queries a second; None: nobody has measured that."""
        return self.capacity_qps if self.measured_instances == instances else None


def _network(way: Distribution, mean_ms: float | None) -> tuple[Distribution, Distribution] | None:
    mean_s = (mean_ms or 0.0) / 1e3
    return (Scaled(way, mean_s), Scaled(way, mean_s)) if mean_s else None


def _shape(name: str, given: Distribution | None) -> Distribution:
    """A distribution with a mean, which it is scaled by.

    Raises:
        SettingError: it has no finite mean above 0, or is no distribution.
    """
    check_setting(name, given, Distribution | None)
    shape = Constant(1.0) if given is None else given
    if not 0 < shape.expected() < float("inf"):
        raise SettingError(f"{{{name}}}: a distribution with mean {shape.expected():g}; expected a finite one above 0")
    return shape
