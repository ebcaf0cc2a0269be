"""How long requests gather before one assignment serves them all.

Gathering pays where both sides are near balance and somebody will join in time. With many drivers to a rider the
nearest is free anyway; with many riders to a driver the choice is there already. Then the window closes at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Riders that make a window worth its full length; one more changes little for those who wait.
FULL_COMPANY = 4.0
# At so many of one side to one of the other, gathering brings nothing any more.
LOPSIDED = 3.0


@dataclass(frozen=True)
class AdaptiveWindow:
    """Up to `longest_s`, in proportion to the riders expected to join and to how evenly matched the sides are."""

    longest_s: float = 2.0

    def length_s(self, *, waiting: int, free: int, arrivals_per_s: float, carried: bool) -> float:
        """Seconds until a window closes that opens now; who was just left unmatched waits for something new."""
        if carried:
            return self.longest_s
        joining = arrivals_per_s * self.longest_s
        company = min(1.0, joining / FULL_COMPANY)
        riders = waiting + joining
        lopsided = max(riders, free) / max(min(riders, free), 1.0)
        balance = min(1.0, max(0.0, (LOPSIDED - lopsided) / (LOPSIDED - 1.0)))
        return self.longest_s * company * balance


@dataclass(frozen=True)
class FixedWindow:
    """Always the same length; 0 matches at once, `retry_s` is for those who were left unmatched."""

    fixed_s: float = 0.0
    retry_s: float = 2.0

    def length_s(self, *, waiting: int, free: int, arrivals_per_s: float, carried: bool) -> float:  # noqa: ARG002
        """Seconds until the window closes."""
        return max(self.fixed_s, self.retry_s) if carried else self.fixed_s


@dataclass
class ArrivalRate:
    """Requests a second, lately: a count that fades by the time constant `memory_s`."""

    memory_s: float = 60.0
    _count: float = 0.0
    _at: float = -math.inf

    def add(self, now: float) -> None:
        """One request at `now` (s)."""
        self._count = self._faded(now) + 1.0
        self._at = now

    def per_s(self, now: float) -> float:
        """Requests a second as of `now` (s)."""
        return self._faded(now) / self.memory_s

    def _faded(self, now: float) -> float:
        return self._count * math.exp((self._at - now) / self.memory_s)
