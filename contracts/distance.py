"""Distances and directions between points, and how long a distance typically takes. Arrays of any one shape."""

from __future__ import annotations

from typing import Final

import numpy as np

from contracts.schema import Floats

EARTH_RADIUS_M: Final = 6_371_008.8

# Where nothing else is known: minutes that a trip takes by straight-line kilometres. All that is learned of a place is
# relative to it, so its level does not matter where there are trips; its bend does where there are few.
_TYPICAL_KM: Final = np.array([0.0, 0.5, 1.25, 1.75, 2.5, 3.5, 5.0, 7.0, 10.0, 14.0, 20.0, 30.0, 60.0])
_TYPICAL_LOG_S: Final = np.log(
    60.0 * np.array([5.0, 5.8, 6.9, 8.1, 10.7, 13.6, 17.5, 21.5, 26.2, 33.0, 40.0, 50.0, 80.0])
)


def haversine_m(lat: Floats, lon: Floats, to_lat: Floats, to_lon: Floats) -> Floats:
    """Great-circle metres between points in degrees."""
    lat, lon, to_lat, to_lon = np.radians(lat), np.radians(lon), np.radians(to_lat), np.radians(to_lon)
    half = np.sin((to_lat - lat) / 2) ** 2 + np.cos(lat) * np.cos(to_lat) * np.sin((to_lon - lon) / 2) ** 2
    metres: Floats = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(half))
    return metres


def typical_log_s(distance_m: Floats) -> Floats:
    """Natural log of the seconds that a trip of this straight-line distance takes where nothing else is known."""
    return np.interp(distance_m / 1000.0, _TYPICAL_KM, _TYPICAL_LOG_S)


def bearing(lat: Floats, lon: Floats, to_lat: Floats, to_lon: Floats) -> tuple[Floats, Floats]:
    """Sine and cosine of the direction from north; both 0 where the points coincide."""
    east, north = (to_lon - lon) * np.cos(np.radians(lat)), to_lat - lat
    length = np.hypot(east, north)
    length = np.where(length > 0, length, 1.0)
    return east / length, north / length
