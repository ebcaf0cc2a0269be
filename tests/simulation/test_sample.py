"""Drawn trips follow the demand, the speeds and the contract."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from contracts.trips import TRIP_COLUMNS
from simulation.city import City
from simulation.congestion import CongestionLaw
from simulation.sample import MIN_TRIP_KM, Draw, draw_trips
from tests.small_city import small_wheel

if TYPE_CHECKING:
    from pathlib import Path

_MONDAY = date(2018, 3, 5)  # the clocks change on the Sunday of this week


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """Three zones."""
    folder: Path = tmp_path_factory.mktemp("city")
    return City.from_wheel(small_wheel(folder / "small.whl"))


@pytest.fixture(scope="module")
def draw(city: City) -> Draw:
    """Two weeks of about 20,000 trips."""
    return draw_trips(city, trips=20_000, weeks=2, start=_MONDAY, seed=7, law=CongestionLaw())


def test_frame_is_canonical(draw: Draw) -> None:
    """Columns, order, uniqueness and the duration are the contract's."""
    trips = draw.trips
    assert list(trips.columns) == list(TRIP_COLUMNS)
    assert trips["trip_id"].is_unique
    pd.testing.assert_frame_equal(trips, trips.sort_values(["pickup_at", "trip_id"], ignore_index=True))
    assert ((trips["dropoff_at"] - trips["pickup_at"]).dt.total_seconds() == trips["duration_s"]).all()
    assert trips["duration_s"].between(60, 7200).all()
    assert (trips["distance_km"] >= MIN_TRIP_KM).all()
    assert not trips.isna().any().any()


def test_number_of_trips_is_poisson_about_the_scale(draw: Draw) -> None:
    """The number drawn is within five standard deviations."""
    assert abs(len(draw.trips) + draw.outside_duration - 20_000) < 5 * np.sqrt(20_000)


def test_days_are_business_days_in_local_time(draw: Draw) -> None:
    """Ten days, none of a weekend, on both sides of a change of the clocks."""
    local = draw.trips["pickup_at"].dt.tz_convert("America/New_York")
    days = local.dt.date.unique()
    assert len(days) == 10
    assert days[0] == _MONDAY
    assert local.dt.weekday.max() == 4


def test_demand_grows_through_the_week_and_the_day(draw: Draw) -> None:
    """The sample has the shape of its source."""
    local = draw.trips["pickup_at"].dt.tz_convert("America/New_York")
    by_day = local.dt.weekday.value_counts()
    assert by_day[4] / by_day[0] == pytest.approx((90 + 53.5) * 53 / ((50 + 53.5) * 52), rel=0.06)
    assert (local.dt.hour >= 12).mean() == pytest.approx(0.5 + 0.25 * 48 / 123.5, abs=0.02)


def test_speeds_keep_mean_and_spread(city: City) -> None:
    """Over many days a pair has the source's mean and standard deviation, shocks included."""
    trips = draw_trips(city, trips=60_000, weeks=30, start=_MONDAY, seed=8, law=CongestionLaw()).trips
    local = trips["pickup_at"].dt.tz_convert("America/New_York")
    slot = local.dt.hour * 4 + local.dt.minute // 15
    zone = pd.Series(range(3), index=city.zones.ids)
    usual = city.speed_mean[slot, zone[trips["pickup_zone"]], zone[trips["dropoff_zone"]]]
    ratio = trips["distance_km"] / trips["duration_s"] / usual
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)
    assert ratio.std() == pytest.approx(0.25, abs=0.04)


def test_recent_speed_tells_of_the_next(draw: Draw) -> None:
    """The shocks last: one half-hour's speed tells of the next one's."""
    trips = draw.trips
    log_speed = np.log(trips["distance_km"] / trips["duration_s"])
    excess = log_speed - log_speed.groupby([trips["pickup_zone"], trips["dropoff_zone"]]).transform("mean")
    by_half_hour = excess.groupby(trips["pickup_at"].dt.floor("30min")).mean()
    assert by_half_hour.corr(by_half_hour.shift(freq="30min")) > 0.3


def test_same_seed_same_trips(city: City, draw: Draw) -> None:
    """The seed decides everything, and another one draws other trips."""
    again = draw_trips(city, trips=20_000, weeks=2, start=_MONDAY, seed=7, law=CongestionLaw())
    other = draw_trips(city, trips=20_000, weeks=2, start=_MONDAY, seed=8, law=CongestionLaw())
    pd.testing.assert_frame_equal(draw.trips, again.trips)
    assert len(other.trips) != len(draw.trips)


def test_shocks_move_no_trip(city: City) -> None:
    """Where and when trips start does not depend on the law of the shocks, only how long they take."""
    calm = CongestionLaw(city_sd=0.0, zone_sd=0.0, incidents_per_zone_day=0.0)
    one, two = (
        draw_trips(city, trips=2000, weeks=1, start=_MONDAY, seed=7, law=law) for law in (calm, CongestionLaw())
    )
    starts = [set(zip(draw.trips["pickup_at"], draw.trips["pickup_lat"], strict=True)) for draw in (one, two)]
    assert len(starts[0] ^ starts[1]) <= one.outside_duration + two.outside_duration
    assert one.trips["duration_s"].sum() != two.trips["duration_s"].sum()
