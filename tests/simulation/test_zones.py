"""Zones: points fall inside them, evenly; lengths follow the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from simulation.city import City
from simulation.zones import ZoneMap, grid_km, to_degrees
from tests.small_city import ZONE_IDS, small_wheel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def zones(tmp_path: Path) -> ZoneMap:
    """Three zones: an L, a square, a square with a hole."""
    return City.from_wheel(small_wheel(tmp_path / "small.whl")).zones


def test_zones_are_in_the_order_of_their_numbers(zones: ZoneMap) -> None:
    """The order does not depend on the file's."""
    assert zones.ids == tuple(str(zone) for zone in ZONE_IDS)


def test_points_lie_in_their_zone(zones: ZoneMap) -> None:
    """Not in the notch of the L, nor in the hole, nor in a neighbour."""
    index = np.arange(6000) % 3
    points = shapely.points(zones.sample(index, np.random.default_rng(1)))
    outlines = np.array(zones.polygons, dtype=object)[index]
    assert shapely.distance(points, outlines).max() < 1e-9


def test_points_are_even(zones: ZoneMap) -> None:
    """Each quarter of the square gets a quarter of the points."""
    points = zones.sample(np.full(40_000, 1), np.random.default_rng(2))
    quarter = (points[:, 0] > 588).astype(int) * 2 + (points[:, 1] > 4512)
    assert np.bincount(quarter) / 40_000 == pytest.approx([0.25] * 4, abs=0.01)


def test_frame_holds_points_and_outlines_in_degrees(zones: ZoneMap) -> None:
    """Each representative point lies in its own outline, in Manhattan."""
    frame = zones.frame()
    outlines = shapely.from_wkt(frame["polygon"].to_numpy())
    assert shapely.contains_xy(outlines, frame["lon"], frame["lat"]).all()
    assert frame["lat"].between(40.7, 40.8).all()
    assert frame["lon"].between(-74.0, -73.9).all()
    assert list(frame["name"]) == [f"Quarter {zone}" for zone in ZONE_IDS]


def test_rounded_points_stay_within_a_decimetre(zones: ZoneMap) -> None:
    """Six digits of a degree move a point by less than 0.1 m."""
    points = zones.sample(np.zeros(100, dtype=int), np.random.default_rng(3))
    lat, lon = to_degrees(points)
    outline = shapely.from_wkt(zones.frame()["polygon"][0])
    assert shapely.distance(shapely.points(lon, lat), outline).max() < 2e-6


_coordinate = st.floats(-20, 20)


@given(x=_coordinate, y=_coordinate)
def test_grid_length_is_between_straight_line_and_root_two_of_it(x: float, y: float) -> None:
    """A grid never shortens a way and lengthens it by the square root of two at most."""
    (length,) = grid_km(np.zeros((1, 2)), np.array([[x, y]]))
    assert np.hypot(x, y) - 1e-9 <= length <= np.sqrt(2) * np.hypot(x, y) + 1e-9


def test_along_an_avenue_the_grid_is_the_straight_line() -> None:
    """Avenues run 29 degrees east of north."""
    angle = np.deg2rad(29)
    assert grid_km(np.zeros((1, 2)), np.array([[np.sin(angle), np.cos(angle)]])) == pytest.approx([1.0])
