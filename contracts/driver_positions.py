"""Where drivers are, as dispatch asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class DriverPosition(NamedTuple):
    """A driver's last known place (degrees, WGS 84) and when that was (epoch seconds)."""

    driver: str
    lat: float
    lon: float
    at: float


class DriverPositions(Protocol):
    """The drivers whose last position is recent enough to count."""

    async def positions(self, zone: str | None, now: float) -> Sequence[DriverPosition]:
        """Drivers in a zone, or all of them and those outside the city's zones too, by driver. Raises Unavailable."""
        ...
