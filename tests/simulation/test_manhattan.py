"""The real wheel: what its speeds say once they are put in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely

from adapters.wheel import fetch_wheel
from contracts.errors import Unavailable
from pipelines.data import PYHAILING
from simulation.city import City
from simulation.zones import grid_km

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def manhattan(tmp_path_factory: pytest.TempPathFactory) -> City:
    """The city of the sample, fetched from the package index."""
    cache: Path = tmp_path_factory.mktemp("cache")
    try:
        return City.from_wheel(fetch_wheel(*PYHAILING, cache=cache))
    except Unavailable as error:
        pytest.skip(f"no package index: {error}")


def test_every_pair_has_a_speed_at_every_time(manhattan: City) -> None:
    """61 zones, no gap, within 1 and 60 miles per hour."""
    assert len(manhattan.zones.ids) == 61
    assert manhattan.trips_per_week / 5 == pytest.approx(425_000, rel=0.01)
    assert 1.6 / 3600 < manhattan.speed_mean.min() < manhattan.speed_mean.max() < 96.6 / 3600
    assert (manhattan.speed_sd > 0).all()


def test_long_trips_are_faster(manhattan: City) -> None:
    """Speeds go with the distance between their own two zones, so they are not another pair's."""
    centres = shapely.get_coordinates(shapely.centroid(np.array(manhattan.zones.polygons, dtype=object)))
    pickup, dropoff = np.divmod(np.arange(61 * 61), 61)
    length = grid_km(centres[pickup], centres[dropoff])
    speed = np.log(manhattan.speed_mean).mean(axis=0).ravel()
    assert np.corrcoef(speed, np.log(length + 0.5))[0, 1] > 0.7


def test_the_way_back_is_as_fast(manhattan: City) -> None:
    """Pickup and dropoff are paired right."""
    speed = np.log(manhattan.speed_mean).mean(axis=0)
    assert np.corrcoef(speed.ravel(), speed.T.ravel())[0, 1] > 0.8


def test_nights_are_faster_than_afternoons(manhattan: City) -> None:
    """Times of day are those of the streets; midnight joins on to midnight."""
    by_hour = manhattan.speed_mean.mean(axis=(1, 2)).reshape(24, 4).mean(axis=1) * 3600
    assert by_hour.argmax() in range(2, 6)
    assert by_hour.argmin() in range(14, 19)
    assert by_hour.max() > 1.6 * by_hour.min()
    jumps = np.abs(np.diff(np.log(manhattan.speed_mean), axis=0, append=np.log(manhattan.speed_mean[:1])))
    assert jumps.mean(axis=(1, 2)).max() < 0.1  # by the labels 0.5 at 6, 12 and 18 o'clock
