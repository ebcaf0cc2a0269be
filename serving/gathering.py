"""When the next window of a region closes, told by looks at who waits and who is on offer. Pure but for its memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from contracts.dispatch import Window
from contracts.zones import Positions, Zones


@dataclass
class Gathering:
    """One region's window. A look that finds nothing new changes nothing; times are of one clock, in seconds."""

    window: Window
    closes_at: float = math.inf
    _seen: set[str] = field(default_factory=set)
    _free: int = 0
    _carried: bool = False

    def look(self, now: float, waiting: Sequence[str], free: int) -> float:
        """When the window closes, by who waits (ids) and how many drivers are on offer; infinity while nobody is."""
        new = [ride for ride in waiting if ride not in self._seen]
        for _ in new:
            self.window.arrived(now)
        more, self._free = free > self._free, free
        self._seen = set(waiting)
        if not waiting or not free:
            self.closes_at = math.inf
            return self.closes_at
        if new or more or math.isinf(self.closes_at):
            carried = self._carried and not new and not more
            length_s = self.window.length_s(now, waiting=len(waiting), free=free, carried=carried)
            self.closes_at = min(self.closes_at, now + length_s)
        return self.closes_at

    def closed(self) -> None:
        """The window is over; who is left waits for something new, or for a while."""
        self.closes_at, self._carried = math.inf, True


def regions_of(zones: Zones, regions: int) -> Positions:
    """The region [z] of each zone: bands from south to north with about as many zones in each."""
    known = np.isfinite(zones.lat)
    edges = np.quantile(zones.lat[known], np.arange(1, regions) / regions)
    return np.where(known, np.searchsorted(edges, zones.lat, side="right"), 0).astype(np.intp)
