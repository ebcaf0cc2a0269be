"""Points get a share of their zones' time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from adapters.tables import read_polygons, read_zones
from contracts.dispatch import Places, line_km
from contracts.schema import Floats
from contracts.zones import Positions
from serving.places import Locator
from serving.point_etas import POINT_RADIUS_KM, PointEtas, Spread
from tests.fakes import write_tiny_zones


@dataclass
class Counting:
    """600 s between any two zones, noting what it was asked."""

    asked: list[tuple[int, int]] = field(default_factory=list)

    def seconds(self, pickup: Positions, dropoff: Positions, at: float) -> Floats:  # noqa: ARG002 - PairEtas
        """600 s [n]."""
        self.asked += zip(pickup.tolist(), dropoff.tolist(), strict=True)
        return np.full(len(pickup), 600.0)


@pytest.fixture
def spread(tmp_path: Path) -> Spread:
    """The tiny city's."""
    write_tiny_zones(tmp_path / "zones.parquet")
    return Spread.of(read_zones(tmp_path / "zones.parquet"), read_polygons(tmp_path / "zones.parquet"))


def at(lon: list[float], zone: list[int]) -> Places:
    """Points on one line through the two squares."""
    return Places(np.full(len(lon), 40.755), np.array(lon), np.array(zone, dtype=np.intp))


def test_a_pair_of_zones_is_asked_for_once(spread: Spread) -> None:
    """Four drives in two pairs of zones; each takes its share by its own distance."""
    pairs = Counting()
    origins = at([-73.989, -73.985, -73.985, -73.985], [0] * 4)
    destinations = at([-73.987, -73.987, -73.975, -73.972], [0, 0, 1, 1])
    found = PointEtas(pairs, spread).seconds(origins, destinations, 0.0)
    assert sorted(pairs.asked) == [(0, 0), (0, 1)]
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[3] / found[2] == pytest.approx(13 / 10, rel=1e-6)


def test_the_pairs_distance_is_that_of_two_points_drawn_from_them(spread: Spread) -> None:
    """Against a hundred thousand drawn pairs: within one per cent."""
    rng, n = np.random.default_rng(1), 100_000
    drawn = Places(40.75 + 0.01 * rng.random(n), -73.99 + 0.01 * rng.random(n), np.zeros(n, dtype=np.intp))
    others = Places(40.75 + 0.01 * rng.random(n), -73.99 + 0.01 * rng.random(n), np.zeros(n, dtype=np.intp))
    east = Places(others.lat, others.lon + 0.01, np.ones(n, dtype=np.intp))
    zone, other = np.array([0]), np.array([1])
    assert spread.km(zone, zone)[0] == pytest.approx(np.sqrt((line_km(drawn, others) ** 2).mean()), rel=0.01)
    assert spread.km(zone, other)[0] == pytest.approx(np.sqrt((line_km(drawn, east) ** 2).mean()), rel=0.01)
    assert spread.km(np.array([2]), np.array([2]))[0] == pytest.approx(POINT_RADIUS_KM)


def test_many_points_are_found_where_one_is(tmp_path: Path) -> None:
    """In a zone, on its edge, near it, near a bare point, outside: as `locate` says."""
    write_tiny_zones(tmp_path / "zones.parquet")
    locator = Locator(read_zones(tmp_path / "zones.parquet"), read_polygons(tmp_path / "zones.parquet"))
    rng = np.random.default_rng(2)
    lat, lon = 40.74 + 0.08 * rng.random(500), -74.0 + 0.1 * rng.random(500)
    one_by_one = [locator.locate(a, b) for a, b in zip(lat.tolist(), lon.tolist(), strict=True)]
    assert locator.locate_many(lat, lon).tolist() == [-1 if zone is None else zone for zone in one_by_one]
    assert {-1, 0, 1, 2} <= set(locator.locate_many(lat, lon).tolist())
