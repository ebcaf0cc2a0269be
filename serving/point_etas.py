"""Times between points, from times between zones.

The model knows zones: two drivers in one zone would be equally near. A pair of zones has a pace instead, its seconds
over the kilometres that lie between two points drawn from them, and a point's time is the pace times its own distance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import shapely

from contracts.dispatch import EARTH_RADIUS_KM, Places, line_km
from contracts.schema import Floats
from contracts.zones import Positions, Zones

KM_PER_DEGREE: Final = math.radians(EARTH_RADIUS_KM)
# A zone of which only the point is known is taken for a disc of this radius.
POINT_RADIUS_KM: Final = 0.8


class PairEtas(Protocol):
    """Travel times between zones, from wherever."""

    def seconds(self, pickup: Positions, dropoff: Positions, at: float) -> Floats:
        """Seconds [n] between zones at positions [n], for who leaves at `at` (Unix seconds)."""
        ...


@dataclass(frozen=True)
class Spread:
    """Where the points of each zone [z] lie: their mean in degrees, and the mean square of their distance to it."""

    lat: Floats
    lon: Floats
    square_km: Floats

    @classmethod
    def of(cls, zones: Zones, polygons: Sequence[str | None]) -> Spread:
        """From outlines (WKT) where they are known."""
        lat, lon = zones.lat.copy(), zones.lon.copy()
        square_km = np.full(len(lat), POINT_RADIUS_KM**2 / 2)
        for i, wkt in enumerate(polygons):
            shape = shapely.from_wkt(wkt) if wkt else None
            if shape is not None and shape.area > 0:
                lon[i], lat[i] = shape.centroid.x, shape.centroid.y
                square_km[i] = _mean_square_km(shape, float(lon[i]), float(lat[i]))
        return cls(lat, lon, square_km)

    def km(self, pickup: Positions, dropoff: Positions) -> Floats:
        """Root of the mean square of the distance between two points drawn from zones [n] and [n]."""
        squeeze = np.cos(np.radians((self.lat[pickup] + self.lat[dropoff]) / 2))
        north = self.lat[dropoff] - self.lat[pickup]
        east = (self.lon[dropoff] - self.lon[pickup]) * squeeze
        between = KM_PER_DEGREE**2 * (north**2 + east**2)
        km: Floats = np.sqrt(between + self.square_km[pickup] + self.square_km[dropoff])
        return km


@dataclass(frozen=True)
class PointEtas:
    """An `EtaSource` for points, which asks for each pair of zones once."""

    pairs: PairEtas
    spread: Spread

    def seconds(self, origins: Places, destinations: Places, at: float) -> Floats:
        """Seconds [n] from each origin [n] to the destination beside it."""
        if not len(origins):
            return np.empty(0)
        zones = len(self.spread.lat)
        pair, row = np.unique(origins.zone * zones + destinations.zone, return_inverse=True)
        pickup, dropoff = np.divmod(pair, zones)
        pace = self.pairs.seconds(pickup, dropoff, at) / self.spread.km(pickup, dropoff)
        seconds: Floats = pace[row] * line_km(origins, destinations)
        return seconds


def _mean_square_km(shape: Any, lon: float, lat: float) -> float:
    """Mean square of the distance of an outline's points to its middle, by Green's theorem, ring by ring."""
    scale = KM_PER_DEGREE * np.array([math.cos(math.radians(lat)), 1.0])
    area = total = 0.0
    for part in (part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"):
        for ring, sign in ((part.exterior, 1.0), *((hole, -1.0) for hole in part.interiors)):
            at = (shapely.get_coordinates(ring) - (lon, lat)) * scale
            here, there = at[:-1], at[1:]
            turn = here[:, 0] * there[:, 1] - there[:, 0] * here[:, 1]
            area += sign * abs(float(turn.sum())) / 2
            total += sign * abs(float(turn @ (here**2 + here * there + there**2).sum(axis=1))) / 12
    return total / area
