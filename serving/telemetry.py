"""Metrics of one replica, in Prometheus' text format."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)


class Telemetry:
    """Counters and histograms in a registry of their own, so that two in one process don't collide."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tandem_http_requests_total", "Answered requests", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "tandem_http_request_duration_seconds",
            "Server time of a request",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._estimates = Counter(
            "tandem_estimates_total",
            "Answered trips, by where the answer came from; reason is empty for the model",
            ["model", "arm", "source", "reason"],
            registry=self._registry,
        )
        self._artifacts_refused = Counter(
            "tandem_artifacts_refused_total", "Versions that failed a check", ["check"], registry=self._registry
        )

    def started(self) -> float:
        """The moment a request came in, for `finished`."""
        return time.perf_counter()

    def finished(self, route: str, status: int, started: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(time.perf_counter() - started)

    def estimated(self, model: str, arm: str, source: str, reason: str, trips: int) -> None:
        """Count answered trips."""
        self._estimates.labels(model, arm, source, reason).inc(trips)

    def refused(self, check: str) -> None:
        """Count a version that was refused."""
        self._artifacts_refused.labels(check).inc()

    def exposition(self) -> tuple[bytes, bytes]:
        """The text and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST.encode()
