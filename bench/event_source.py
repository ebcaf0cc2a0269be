"""Trips that end now, at a rate, and how many of them each window cell must hold in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from contracts.events import TripEnded, encode_event
from contracts.trips import CITY

MICRO = 1_000_000
GRID_US = 10 * MICRO
TICK_S = 0.05
Entry = tuple[str, bytes]
Cell = tuple[str, str, int]


class EventSource:
    """Makes distinct trips between zones; keeps their ends (µs) in order, and what they add to which cell."""

    def __init__(self, zones: Sequence[str], seed: int = 1) -> None:
        self._zones = list(zones)
        self._rng = np.random.default_rng(seed)
        self.ended_us: list[int] = []
        self.cells: Counter[Cell] = Counter()

    def make(self, ends: Sequence[float]) -> list[Entry]:
        """One event for each end (epoch seconds, ascending)."""
        pickup, dropoff = self._rng.integers(len(self._zones), size=(2, len(ends))).tolist()
        duration_s = self._rng.uniform(120, 3000, len(ends)).tolist()
        entries = []
        for i, end in enumerate(ends):
            ended = datetime.fromtimestamp(end, UTC)
            a, b = self._zones[pickup[i]], self._zones[dropoff[i]]
            trip = TripEnded(
                schema_version=1,
                trip_id=f"bench-{len(self.ended_us)}",
                pickup_at=ended - timedelta(seconds=duration_s[i]),
                dropoff_at=ended,
                pickup_zone=a,
                dropoff_zone=b,
            )
            self._count(round(ended.timestamp() * MICRO), {a, b})
            entries.append((a, encode_event(trip)))
        return entries

    def drive(self, rate: float, seconds: float, put: Callable[[list[Entry]], None]) -> int:
        """Put events as they end, at a rate, late ones with their own ends all the same; returns how many."""
        begun, began_at, sent = time.monotonic(), time.time(), 0
        while (elapsed := time.monotonic() - begun) < seconds:
            due = int(rate * elapsed)
            if due > sent:
                put(self.make([began_at + (i + 1) / rate for i in range(sent, due)]))
                sent = due
            time.sleep(max(0.0, TICK_S - (time.monotonic() - begun - elapsed)))
        return sent

    def _count(self, ended_us: int, zones: set[str]) -> None:
        self.ended_us.append(ended_us)
        cell = -(-ended_us // GRID_US) * GRID_US
        self.cells["city", CITY, cell] += 1
        for zone in zones:
            self.cells["zone", zone, cell] += 1


def compared(expected: Counter[Cell], found: Counter[Cell]) -> dict[str, int]:
    """Additions that are missing from cells, and those that are there too often."""
    return {"lost": (expected - found).total(), "doubled": (found - expected).total()}
