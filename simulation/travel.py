"""How long it takes to drive in the imagined city: what is usual, what congestion makes of it, and chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.dispatch import EARTH_RADIUS_KM, Places
from contracts.schema import Floats
from simulation.city import MAX_SPEED_KM_S, MIN_SPEED_KM_S, City
from simulation.congestion import Congestion, CongestionLaw
from simulation.sample import pair_speeds
from simulation.zones import grid_km

# To stop and to find one another takes this long however near the driver is.
MEETING_S: Final = 30.0
_KM_PER_DEGREE: Final = float(np.radians(EARTH_RADIUS_KM))


@dataclass(frozen=True)
class Travel:
    """One day of one city's streets; times are seconds since its midnight."""

    city: City
    law: CongestionLaw
    congestion: Congestion

    @classmethod
    def draw(cls, city: City, rng: np.random.Generator, *, days: int = 2) -> Travel:
        """Draw the congestion; the second day is for who is on the road past midnight."""
        law = CongestionLaw()
        return cls(city, law, Congestion.draw(law, days=days, zones=len(city.zones.ids), rng=rng))

    def seconds(self, origins: Places, destinations: Places, at_s: NDArray[np.float64], chance: Floats) -> Floats:
        """Seconds [n] of drives that start at `at_s` [n]; `chance` [n] is standard normal, 0 for the median drive."""
        km = self.km(origins, destinations)
        at = at_s.astype(np.int64)
        usual, own_sd = pair_speeds(self.city, self.law, at, origins.zone, destinations.zone)
        # The bounded speed, as in the trips drawn for training.
        speed = usual * self.congestion.factor(at, origins.zone, destinations.zone)
        speed = speed * np.exp(own_sd * chance - own_sd**2 / 2)
        seconds: Floats = km / np.clip(speed, MIN_SPEED_KM_S, MAX_SPEED_KM_S)
        return seconds

    @staticmethod
    def km(origins: Places, destinations: Places) -> Floats:
        """Kilometres [n] along the street grid."""
        squeeze = np.cos(np.radians((origins.lat + destinations.lat) / 2))
        step = np.column_stack([(destinations.lon - origins.lon) * squeeze, destinations.lat - origins.lat])
        return grid_km(np.zeros_like(step), step * _KM_PER_DEGREE)


@dataclass(frozen=True)
class Oracle:
    """An `EtaSource` that knows the streets as they are; only chance is hidden from it. The best that can be had."""

    travel: Travel
    midnight: float  # Unix seconds of the day's local midnight

    def seconds(self, origins: Places, destinations: Places, at: float) -> Floats:
        """Median seconds [n] of the drives, the meeting included."""
        n = len(origins)
        return MEETING_S + self.travel.seconds(origins, destinations, np.full(n, at - self.midnight), np.zeros(n))
