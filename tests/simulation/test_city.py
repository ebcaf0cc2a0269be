"""The city is read from the wheel's files as they are meant, not as they are labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from simulation.city import City
from tests.small_city import small_wheel, speed_km_s, trips_a_year

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def city(tmp_path: Path) -> City:
    """Three zones."""
    return City.from_wheel(small_wheel(tmp_path / "small.whl"))


def test_demand_is_per_day(city: City) -> None:
    """A year's count is spread over that year's days of the week."""
    assert city.demand[0, 7, 1, 2] * 53 == pytest.approx(trips_a_year(0, 7, 1, 2))
    assert city.demand[4, 95, 2, 0] * 52 == pytest.approx(trips_a_year(4, 95, 2, 0))


def test_speeds_are_put_in_their_place(city: City) -> None:
    """Every pair and quarter-hour gets its own speed though the file labels it as another's."""
    expected = np.array([[[speed_km_s(slot, p, d) for d in range(3)] for p in range(3)] for slot in range(96)])
    assert city.speed_mean == pytest.approx(expected)
    assert city.speed_sd == pytest.approx(expected / 4)
