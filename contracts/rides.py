"""Rides on their way to a driver: what is kept of them, and what rooms need of one another for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True)
class Ride:
    """One request for a driver. Times are epoch seconds.

    It waits while `decided_at` is None; then it has a driver, or a reason why it has none. Its driver is free again
    when it has ended, or at `held_until`.
    """

    id: str
    request_id: str
    region: int
    content: str  # a hash of what was asked for: the same id with another one is another request
    lat: float
    lon: float
    zone: str
    asked_at: float
    until: float
    driver: str | None = None
    pickup_eta_s: float | None = None
    reason: str | None = None
    decided_at: float | None = None
    held_until: float | None = None
    ended_at: float | None = None


class DriverAssigned(NamedTuple):
    """A pair that a window made."""

    ride: str
    driver: str
    pickup_eta_s: float


class NoDriver(NamedTuple):
    """A ride whose time is over, and why it has no driver."""

    ride: str
    reason: str


class RideStore(Protocol):
    """What outlives a replica. Every call blocks, and may raise Unavailable."""

    def ask(self, rides: Sequence[Ride]) -> None:
        """Let rides wait; the same one again waits as long as it now says, one that is decided stays as it is."""
        ...

    def find(self, ids: Sequence[str]) -> list[Ride]:
        """The rides of these ids that there are."""
        ...

    def waiting(self, region: int, limit: int) -> list[Ride]:
        """Rides of a region that wait, the oldest first."""
        ...

    def busy(self, now: float) -> set[str]:
        """Drivers who belong to a ride."""
        ...

    def decide(self, assigned: Sequence[DriverAssigned], refused: Sequence[NoDriver], now: float, hold_s: float) -> int:
        """Decide rides that still wait, drivers that are still free; all or nothing. Returns how many have one now."""
        ...


class Lease(Protocol):
    """One holder at a time, as long as clocks agree; what must never happen twice is not left to it."""

    def lease(self, name: str, holder: str, now: float, seconds: float) -> bool:
        """Take or prolong; False while somebody else's lasts. Blocks, may raise Unavailable."""
        ...

    def release(self, name: str, holder: str) -> None:
        """Give it back. Blocks, may raise Unavailable."""
        ...
