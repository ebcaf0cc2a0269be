"""A zone is found again by its point, and by nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import SchemaMismatch
from training.places import index_places


@settings(deadline=None)  # a search, and the machine may be busy
@given(st.integers(1, 300), st.integers(0, 2**31))
def test_every_place_has_a_position_of_its_own(places: int, seed: int) -> None:
    """Anywhere on earth, also where points lie metres apart."""
    rng = np.random.default_rng(seed)
    lat = rng.uniform(-80, 80) + rng.normal(0, 0.05, places)
    lon = rng.uniform(-170, 170) + rng.normal(0, 0.05, places)
    points = len(np.unique(np.trunc(np.column_stack([lat, lon]).astype(np.float32) * 2.0**18), axis=0))
    found = index_places(lat, lon).positions(lat.astype(np.float32), lon.astype(np.float32))
    assert len(np.unique(found)) == points
    assert found.max() < points


def test_a_point_that_is_no_place_is_unknown() -> None:
    """Also one next to a place, one at the bounds of the vector, and an absent one."""
    index = index_places(np.array([40.7, 40.8]), np.array([-73.9, -74.0]))
    lat = np.array([40.7, 40.7, 90.0, np.nan, np.inf], dtype=np.float32)
    lon = np.array([-73.9, -74.0, 180.0, -73.9, -np.inf], dtype=np.float32)
    lat[1] = np.nextafter(lat[0], np.float32(41))
    assert index.positions(lat, lon).tolist() == [0, *[index.unknown] * 4]


def test_places_at_one_point_share_a_position() -> None:
    """The vector can't tell them apart, so neither can a net."""
    index = index_places(np.array([40.7, 40.7, 40.8]), np.array([-73.9, -73.9, -73.9]))
    assert index.unknown == 2
    near_the_equator = index_places(np.array([1e-7, 2e-7]), np.array([9.0, 9.0]))  # two floats, a hand's breadth apart
    assert near_the_equator.unknown == 1


def test_too_many_places_are_refused() -> None:
    """The error names how many there may be."""
    with pytest.raises(SchemaMismatch, match="found 2001, expected at most 2000"):
        index_places(np.linspace(-80, 80, 2001), np.zeros(2001))
