"""Prometheus' text format, read back: samples by name and labels, and what lies between two readings."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path

Samples = Mapping[tuple[str, str], float]  # (name, labels as they stand)
_REPLICA = re.compile(r'(?:^|,)replica="([^"]*)"')
_LE = re.compile(r'(?:^|,)le="([^"]+)"')


def parse(text: str) -> dict[tuple[str, str], float]:
    """Read every sample; comments and exemplars are left out."""
    samples: dict[tuple[str, str], float] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        series, _, value = line.partition(" # ")[0].rpartition(" ")
        name, _, labels = series.partition("{")
        samples[name, labels.rstrip("}")] = float(value)
    return samples


def by_replica(samples: Samples) -> dict[str, dict[tuple[str, str], float]]:
    """Part what one replica tells of all by the label `replica`; what has none belongs to the replica named ''.

    Serve's own metrics are left out: they have that label too, with other names in it.
    """
    parts: dict[str, dict[tuple[str, str], float]] = {}
    for (name, labels), value in samples.items():
        if name.startswith("ray_"):
            continue
        found = _REPLICA.search(labels)
        parts.setdefault(found[1] if found else "", {})[name, labels] = value
    return parts


def total(samples: Samples, name: str) -> float | None:
    """Sum a metric over its labels; None where it is not there."""
    found = [value for (of, _), value in samples.items() if of == name]
    return sum(found) if found else None


def buckets(before: Samples, after: Samples, name: str) -> dict[float, float]:
    """Give a histogram's cumulative counts by upper bound, of what happened between two readings."""
    counts: dict[float, float] = {}
    for (of, labels), value in after.items():
        bound = _LE.search(labels) if of == f"{name}_bucket" else None
        if bound:
            le = float(bound[1])
            counts[le] = counts.get(le, 0.0) + value - before.get((of, labels), 0.0)
    return dict(sorted(counts.items()))


def share_within(counts: Mapping[float, float], limit: float) -> float | None:
    """Give the share of observations at or under a bucket's bound: exact, where the limit is such a bound."""
    whole = max(counts.values(), default=0.0)
    inside = [count for bound, count in counts.items() if bound <= limit]
    return max(inside, default=0.0) / whole if whole else None


def quantile_bound(counts: Mapping[float, float], q: float) -> float | None:
    """Give the bucket's upper bound under which the quantile lies; None without observations."""
    whole = max(counts.values(), default=0.0)
    return next((bound for bound, count in counts.items() if count >= q * whole), None) if whole else None


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def scrape(path: Path, timeout_s: float = 2.0) -> dict[tuple[str, str], float]:
    """Ask a replica's own socket for its metrics; raises OSError."""
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request("GET", "/metrics")
        return parse(connection.getresponse().read().decode())
    finally:
        connection.close()
