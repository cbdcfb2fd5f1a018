"""One table of metrics for each process that exports any, and the registry built from it.

A name is `hitl_<part>_<what>_<unit>[_total]` in base units; labels come from closed sets only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

from hitl.errors import ConfigError

DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""In seconds: from a commit to a person thinking."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of a table; `buckets` are the upper bounds of a histogram, and `DURATION_BUCKETS` by default."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


class Metrics:
    """The living metrics of a table, by name; asking for a name that the table lacks is a `KeyError`."""

    def __init__(self, table: Iterable[Metric], registry: CollectorRegistry) -> None:
        # Without this every counter and histogram would export its creation time as one more series.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for row in table:
            self._add(row)

    def _add(self, row: Metric) -> None:
        if row.kind == "counter":
            self._counters[row.name] = Counter(row.name, row.help, row.labels, registry=self.registry)
        elif row.kind == "gauge":
            self._gauges[row.name] = Gauge(row.name, row.help, row.labels, registry=self.registry)
        else:
            self._histograms[row.name] = Histogram(
                row.name,
                row.help,
                row.labels,
                registry=self.registry,
                buckets=row.buckets or DURATION_BUCKETS,
            )

    def counter(self, name: str) -> Counter:
        """Return the counter of this name."""
        return self._counters[name]

    def gauge(self, name: str) -> Gauge:
        """Return the gauge of this name."""
        return self._gauges[name]

    def histogram(self, name: str) -> Histogram:
        """Return the histogram of this name."""
        return self._histograms[name]


def build(table: Iterable[Metric], registry: CollectorRegistry | None = None) -> Metrics:
    """Make the metrics of a table, in a registry of their own unless one is given."""
    return Metrics(table, CollectorRegistry() if registry is None else registry)


def export(metrics: Metrics, *, host: str, port: int) -> str:
    """Serve the metrics at http://host:port/metrics from a daemon thread.

    Returns:
        The address host:port, with the true port where 0 was asked for.

    Raises:
        ConfigError: the port is in use or the host is not one of this machine.
    """
    try:
        server, _ = start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as error:
        raise ConfigError(
            f"metrics cannot be served on {host}:{port} ({error.strerror}); choose another port, or 0 for any"
        ) from None
    return f"{host}:{server.server_port}"
