"""What a request tells is told in the city's own time and by the zones' points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contracts.errors import NotFound
from contracts.zones import Zones
from training.context import describe_trips, plain_matrix

ZONES = Zones(("7", "1"), ("Astoria", "Newark"), ("Queens", "EWR"), np.array([40.0, 41.0]), np.array([-74.0, -74.0]))


def trips(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Start time, pickup and dropoff zone."""
    frame = pd.DataFrame(rows, columns=["pickup_at", "pickup_zone", "dropoff_zone"])
    return frame.assign(pickup_at=pd.to_datetime(frame["pickup_at"], utc=True))


def test_local_time_and_distance() -> None:
    """In summer New York is four hours behind, in winter five; a degree of latitude is 111.2 km."""
    context = describe_trips(trips(("2020-07-06 02:30", "7", "1"), ("2021-01-04 04:59", "1", "1")), ZONES)
    assert list(context.hour) == [22, 23]
    assert list(context.weekday) == [6, 6]
    assert [str(np.datetime64(int(day), "D")) for day in context.day] == ["2020-07-05", "2021-01-03"]
    assert context.distance_m == pytest.approx([111_195, 0.0], rel=1e-4)
    assert context.pairs == ["7>1", "1>1"]
    assert context.borough == ["Queens", "EWR"]
    second = context.rows(np.array([False, True]))
    assert (second.pairs, list(second.hour)) == (["1>1"], [23])
    assert plain_matrix(second, ZONES).shape == (1, 9)


def test_a_zone_of_another_city_is_named() -> None:
    """The zone, and how many this city has."""
    with pytest.raises(NotFound, match="zone '9' not found; the city has 2 zones"):
        describe_trips(trips(("2020-07-06 02:30", "7", "9")), ZONES)
