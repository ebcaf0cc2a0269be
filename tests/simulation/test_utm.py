"""The projection against points that PROJ 9 computed."""

from __future__ import annotations

import numpy as np
import pytest

from simulation.utm import utm_to_wgs84

_REFERENCE = [
    (585_000.0, 4_511_000.0, 40.745560810256464, -73.99318644525341),
    (583_500.123, 4_506_250.7, 40.702935911410954, -74.01158286587204),
    (590_500.5, 4_525_900.25, 40.87917994027757, -73.92588194014162),
    (500_000.0, 4_982_950.4, 44.99999999796059, -75.0),
    (250_000.0, 10_000.0, 0.09040315709339175, -77.24611026018259),
    (700_000.0, 8_900_000.0, 80.00474380474178, -64.62504459304382),
]


@pytest.mark.parametrize(("easting", "northing", "lat", "lon"), _REFERENCE)
def test_reference_points_agree_to_a_millimetre(easting: float, northing: float, lat: float, lon: float) -> None:
    """Points in Manhattan and at the ends of zone 18 agree with PROJ."""
    found_lat, found_lon = utm_to_wgs84(np.array(easting), np.array(northing))
    assert abs(found_lat - lat) * 111_320 < 1e-3
    assert abs(found_lon - lon) * 111_320 < 1e-3


def test_zones_are_six_degrees_apart() -> None:
    """The next UTM zone holds the same picture six degrees farther east."""
    points = np.array([585_000.0]), np.array([4_511_000.0])
    lat_18, lon_18 = utm_to_wgs84(*points)
    lat_19, lon_19 = utm_to_wgs84(*points, zone=19)
    assert lat_18 == lat_19
    assert lon_19 - lon_18 == pytest.approx(6.0)
