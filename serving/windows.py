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


@dataclass
class AdaptiveWindow:
    """Up to `longest_s`, in proportion to the riders expected to join and to how evenly matched the sides are.

    How many will join is told by a count of requests that fades with the time constant `memory_s`.
    """

    longest_s: float = 2.0
    memory_s: float = 60.0
    _count: float = 0.0
    _counted_at: float = -math.inf

    def arrived(self, now: float) -> None:
        """Count a request at `now` (s)."""
        self._count = self._faded(now) + 1.0
        self._counted_at = now

    def length_s(self, now: float, *, waiting: int, free: int, carried: bool) -> float:
        """Seconds until a window closes that opens now; who was just left unmatched waits for something new."""
        if carried:
            return self.longest_s
        joining = self._faded(now) / self.memory_s * self.longest_s
        company = min(1.0, joining / FULL_COMPANY)
        riders = waiting + joining
        lopsided = max(riders, free) / max(min(riders, free), 1.0)
        balance = min(1.0, max(0.0, (LOPSIDED - lopsided) / (LOPSIDED - 1.0)))
        return self.longest_s * company * balance

    def _faded(self, now: float) -> float:
        return self._count * math.exp((self._counted_at - now) / self.memory_s)


@dataclass
class FixedWindow:
    """Always the same length, 0 to match at once; who was left unmatched waits `retry_s`."""

    fixed_s: float = 0.0
    retry_s: float = 2.0

    def arrived(self, now: float) -> None:
        """Nothing depends on the traffic."""

    def length_s(self, now: float, *, waiting: int, free: int, carried: bool) -> float:  # noqa: ARG002 - Window
        """Seconds until the window closes."""
        return self.retry_s if carried else self.fixed_s
