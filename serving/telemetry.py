"""Metrics of one replica, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from serving.call import Call

_SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)


class Telemetry:
    """Counters and histograms in a registry of their own, so that two in one process don't collide."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tandem_requests_total", "Answered requests", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "tandem_request_duration_seconds",
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
        self._features_seconds = Histogram(
            "tandem_features_seconds", "Waiting for features", buckets=_SECONDS, registry=self._registry
        )
        self._model_seconds = Histogram("tandem_model_seconds", "Model call", buckets=_SECONDS, registry=self._registry)
        self._turned_away = Counter(
            "tandem_turned_away_total", "Requests refused for load", ["reason"], registry=self._registry
        )
        # Finding a child by its labels costs more than counting; there are few, and they are asked for all the time.
        self._of_estimate = lru_cache(maxsize=256)(self._estimates.labels)
        self._of_request = lru_cache(maxsize=256)(
            lambda route, status: (self._requests.labels(route, status), self._seconds.labels(route))
        )
        self._artifacts_refused = Counter(
            "tandem_artifacts_refused_total", "Versions that failed a check", ["check"], registry=self._registry
        )

    def finished(self, route: str, status: int | str, seconds: float) -> None:
        """Count an answered request; `seconds` are from its arrival."""
        count, duration = self._of_request(route, str(status))
        count.inc()
        duration.observe(seconds)

    def called(self, call: Call) -> None:
        """Take where an answered call's time went."""
        self._features_seconds.observe(call.features_s)
        self._model_seconds.observe(call.model_s)

    def turned_away(self, reason: str) -> None:
        """Count a request that was refused for load."""
        self._turned_away.labels(reason).inc()

    def watch(self, name: str, words: str, read: Callable[[], float]) -> None:
        """Show a number that is read when somebody looks."""
        Gauge(name, words, registry=self._registry).set_function(read)

    def estimated(self, model: str, arm: str, source: str, reason: str, trips: int) -> None:
        """Count answered trips."""
        self._of_estimate(model, arm, source, reason).inc(trips)

    def refused(self, check: str) -> None:
        """Count a version that was refused."""
        self._artifacts_refused.labels(check).inc()

    def exposition(self) -> tuple[bytes, bytes]:
        """The text and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST.encode()
