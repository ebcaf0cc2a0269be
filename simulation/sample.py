"""Draw trips from a city: a Poisson number for every quarter-hour and pair of zones, speeds with shocks that last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from contracts.trips import CITY_TZ, MAX_DURATION_S, MIN_DURATION_S, TRIP_COLUMNS
from simulation.city import BUSINESS_DAYS, MAX_SPEED_KM_S, MIN_SPEED_KM_S, SLOT_S, SLOTS_PER_DAY, City
from simulation.congestion import Congestion, CongestionLaw
from simulation.zones import ZoneMap, grid_km, to_degrees

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCE: Final = (
    "drawn from real aggregates: Manhattan, business days of 2018 (demand and speeds of pyhailing 0.0.9); "
    "no row is a trip that somebody made"
)
# Nobody hails a car for less; inside the smallest zones two uniform points are often closer.
MIN_TRIP_KM: Final = 0.4
_DAYS_PER_WEEK: Final = 7
_DAY_S: Final = SLOTS_PER_DAY * SLOT_S
# This much spread of log speed is left to the single trip, however large the shocks are.
_MIN_TRIP_SD: Final = 0.1


@dataclass(frozen=True)
class Draw:
    """Trips in the order of their pickups, and how many fell outside the bounds of a trip's duration."""

    trips: pd.DataFrame
    outside_duration: int


def draw_trips(city: City, *, trips: float, weeks: int, start: date, seed: int, law: CongestionLaw) -> Draw:
    """Draw the business days of some weeks.

    Args:
        city: where.
        trips: the expected number over all weeks.
        weeks: how many, 1 or more; each has five business days, holidays are not known.
        start: a Monday.
        seed: the same seed gives the same trips.
        law: the shocks on the speed.

    Returns:
        The canonical trip frame; times are whole seconds, coordinates 1e-6 degrees, distances metres.

    """
    demand_rng, place_rng, shock_rng, speed_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)
    )
    pickup_s, pickup, dropoff = _requests(city, trips, weeks, demand_rng)
    origin, destination = place_trips(city.zones, pickup, dropoff, place_rng)
    congestion = Congestion.draw(law, days=weeks * _DAYS_PER_WEEK, zones=len(city.zones.ids), rng=shock_rng)
    length_km = grid_km(origin, destination)
    usual, own_sd = pair_speeds(city, law, pickup_s, pickup, dropoff)
    own = np.exp(own_sd * speed_rng.standard_normal(len(usual)) - own_sd**2 / 2)
    speed = np.clip(usual * congestion.factor(pickup_s, pickup, dropoff) * own, MIN_SPEED_KM_S, MAX_SPEED_KM_S)
    duration_s = np.round(length_km / speed)
    keep = (duration_s >= MIN_DURATION_S) & (duration_s <= MAX_DURATION_S)

    pickup_at = _utc(pickup_s[keep], start)
    zone_ids = np.array(city.zones.ids, dtype=object)
    pickup_lat, pickup_lon = to_degrees(origin[keep])
    dropoff_lat, dropoff_lon = to_degrees(destination[keep])
    columns = {
        "trip_id": [f"sample-{seed}-{number:09d}" for number in range(int(keep.sum()))],
        "pickup_at": pickup_at,
        "dropoff_at": pickup_at + pd.to_timedelta(duration_s[keep], unit="s"),
        "pickup_zone": zone_ids[pickup[keep]],
        "dropoff_zone": zone_ids[dropoff[keep]],
        "pickup_lat": pickup_lat,
        "pickup_lon": pickup_lon,
        "dropoff_lat": dropoff_lat,
        "dropoff_lon": dropoff_lon,
        "duration_s": duration_s[keep],
        "distance_km": np.round(length_km[keep], 3),
    }
    return Draw(trips=pd.DataFrame(columns)[list(TRIP_COLUMNS)], outside_duration=int((~keep).sum()))


def _requests(
    city: City, trips: float, weeks: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.intp]]:
    """Seconds since the first midnight, pickup and dropoff zones: (n,) each, in the order of time."""
    scale = trips / weeks / city.trips_per_week
    shape = city.demand.shape[1:]
    seconds, pickups, dropoffs = [], [], []
    for week in range(weeks):
        for weekday in range(BUSINESS_DAYS):
            count = rng.poisson(city.demand[weekday].ravel() * scale)
            filled = np.flatnonzero(count)
            slot, pickup, dropoff = np.unravel_index(np.repeat(filled, count[filled]), shape)
            midnight = (week * _DAYS_PER_WEEK + weekday) * _DAY_S
            seconds.append(midnight + slot * SLOT_S + rng.integers(0, SLOT_S, len(slot)))
            pickups.append(pickup)
            dropoffs.append(dropoff)
    pickup_s = np.concatenate(seconds)
    order = np.argsort(pickup_s, kind="stable")
    return pickup_s[order], np.concatenate(pickups)[order], np.concatenate(dropoffs)[order]


def place_trips(
    zones: ZoneMap, pickup: NDArray[np.intp], dropoff: NDArray[np.intp], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two points of each trip, UTM kilometres; both are drawn anew where they are too close."""
    origin, destination = zones.sample(pickup, rng), zones.sample(dropoff, rng)
    while (near := np.flatnonzero(grid_km(origin, destination) < MIN_TRIP_KM)).size:
        origin[near], destination[near] = zones.sample(pickup[near], rng), zones.sample(dropoff[near], rng)
    return origin, destination


def pair_speeds(
    city: City,
    law: CongestionLaw,
    pickup_s: NDArray[np.int64],
    pickup: NDArray[np.intp],
    dropoff: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean speed (km/s) of each trip's pair at that time, and what its spread of log speed leaves to the single trip.

    The measured spread holds the days' congestion too, so the shocks' part is taken out of it.
    """
    slot = pickup_s % _DAY_S // SLOT_S
    mean, sd = city.speed_mean[slot, pickup, dropoff], city.speed_sd[slot, pickup, dropoff]
    own_variance = np.log1p((sd / mean) ** 2) - law.log_variance
    return mean, np.sqrt(np.maximum(own_variance, _MIN_TRIP_SD**2))


def _utc(since_midnight_s: NDArray[np.int64], start: date) -> pd.DatetimeIndex:
    """Local wall-clock seconds to UTC; the clocks change on Sundays only, which have no trips here."""
    days = [start + timedelta(days=int(day)) for day in range(int(since_midnight_s[-1] // _DAY_S) + 1)]
    midnights = pd.DatetimeIndex(days).tz_localize(CITY_TZ).tz_convert("UTC").as_unit("us")
    day, second = np.divmod(since_midnight_s, _DAY_S)
    return midnights[day] + pd.to_timedelta(second, unit="s")
