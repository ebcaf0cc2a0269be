"""Twins of what dispatch needs: drivers in a list, requests for the tiny city."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import Unavailable
from tests.fakes import FakeClock

Seen = tuple[str, float, float, float]


@dataclass
class FakeDrivers:
    """A feed of positions in memory; it can be told to fail."""

    seen: list[Seen] = field(default_factory=list)
    error: Unavailable | None = None

    async def positions(self, zone: str | None, now: float) -> Sequence[Seen]:  # noqa: ARG002 - all of one city
        """See DriverPositions."""
        if self.error:
            raise self.error
        return list(self.seen)


@dataclass
class RunningClock(FakeClock):
    """A clock that starts where the tiny city's features are from, and runs."""

    begun: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Epoch seconds."""
        return self.seconds + time.monotonic() - self.begun

    def monotonic(self) -> float:
        """The same seconds."""
        return self.now()


def point(lon: float, lat: float = 40.755) -> dict[str, Any]:
    """A place in the tiny city's two squares, which lie from -73.99 to -73.97."""
    return {"lat": lat, "lon": lon}
