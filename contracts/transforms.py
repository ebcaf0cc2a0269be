"""Row transforms of the ETA model, used by both tiers, so that what is trained on is what is served.

Arrays are [n], one entry a trip; times are epoch seconds, distances metres; a looked-up column is named
``role.feature`` and NaN where it is absent. A log-ratio is ln(actual / expected): above zero, the trip took longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.features import ANY, DAY_PARTS, LONG_WINDOWS_S, OFFSET, SHORT_WINDOWS_S
from contracts.local_time import DAY_S, HOUR_S, Ints, hour_of_week, local_time
from contracts.schema import Floats
from contracts.trips import CITY, CITY_TZ
from contracts.zones import Positions, Zones, pair_key

EARTH_RADIUS_M: Final = 6_371_008.8

# Where nothing else is known: minutes that a trip takes by straight-line kilometres. All that is learned of a place is
# relative to it, so its level does not matter where there are trips; its bend does where there are few.
_TYPICAL_KM: Final = np.array([0.0, 0.5, 1.25, 1.75, 2.5, 3.5, 5.0, 7.0, 10.0, 14.0, 20.0, 30.0, 60.0])
_TYPICAL_LOG_S: Final = np.log(
    60.0 * np.array([5.0, 5.8, 6.9, 8.1, 10.7, 13.6, 17.5, 21.5, 26.2, 33.0, 40.0, 50.0, 80.0])
)

# Trips that an average has to gather before it outweighs what it is shrunk towards.
_PAIR_PRIOR: Final = 3.0
_ZONE_PRIOR: Final = 5.0
_PART_PRIOR: Final = 5.0
_HOUR_PRIOR: Final = 3.0
_CITY_LIVE_PRIOR: Final = 20.0
_ZONE_WINDOWS: Final = {"30m": 5.0, "60m": 5.0, "1d": 10.0, "7d": 10.0}

# How much of a pair's deviation in this part of the day lasts: the slope of a regression on later trips.
_PART_SLOPE: Final = 0.7

_CITY_WINDOWS: Final = (*SHORT_WINDOWS_S, *LONG_WINDOWS_S)

_ZONE_LIVE: Final = tuple((role, window) for role in ("pickup", "dropoff") for window in _ZONE_WINDOWS)
_ZONE_LIVE_PRIOR: Final = np.array([[_ZONE_WINDOWS[window]] for _, window in _ZONE_LIVE])
_HOUR_ROLES: Final = ("city_hour", "pickup_hour", "dropoff_hour")

# The part that began last, round the clock.
_PART_OF_HOUR: Final = np.argmin((np.arange(24)[:, None] - np.array(list(DAY_PARTS.values()))) % 24, axis=1)


def haversine_m(lat: Floats, lon: Floats, to_lat: Floats, to_lon: Floats) -> Floats:
    """Great-circle metres between points in degrees."""
    lat, lon, to_lat, to_lon = np.radians(lat), np.radians(lon), np.radians(to_lat), np.radians(to_lon)
    half = np.sin((to_lat - lat) / 2) ** 2 + np.cos(lat) * np.cos(to_lat) * np.sin((to_lon - lon) / 2) ** 2
    metres: Floats = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(half))
    return metres


def typical_log_s(distance_m: Floats) -> Floats:
    """Natural log of the seconds that a trip of this straight-line distance takes where nothing else is known."""
    return np.interp(distance_m / 1000.0, _TYPICAL_KM, _TYPICAL_LOG_S)


def shrink(mean: Floats, weight: Floats, towards: Floats | float, prior: Floats | float) -> Floats:
    """A mean over `weight` trips, pulled towards a value that counts for `prior` trips; that value where it is NaN."""
    known = (weight > 0) & ~np.isnan(mean)
    trips = np.where(known, weight, 0.0)
    shrunk: Floats = (trips * np.where(known, mean, 0.0) + prior * towards) / (trips + prior)
    return shrunk


def day_part(hour: Ints) -> npt.NDArray[np.intp]:
    """Position in DAY_PARTS of local hours 0..23."""
    part: npt.NDArray[np.intp] = _PART_OF_HOUR[hour]
    return part


def reference_log_s(distance_m: Floats, stats: Mapping[str, Floats]) -> Floats:
    """Natural log of a trip's reference duration in seconds.

    It is what its pair took, shrunk towards what its zones did, and they towards what is typical of the distance.
    `stats` has the columns ``pair``, ``outbound`` and ``inbound`` of the view pair_stats, with their weights.
    """
    excess = np.array([stats["outbound.log_excess"], stats["inbound.log_excess"]])
    weight = np.array([stats["outbound.weight"], stats["inbound.weight"]])
    zones = 0.5 * shrink(excess, weight, 0.0, _ZONE_PRIOR).sum(axis=0)
    return typical_log_s(distance_m) + shrink(stats["pair.log_excess"], stats["pair.weight"], zones, _PAIR_PRIOR)


def trip_keys(pickup: Sequence[str], dropoff: Sequence[str], at: Floats) -> dict[str, list[str]]:
    """The store's keys [n] by role, for zone ids [n] and the trips' start times [n]."""
    hours = [f"{hour:03d}" for hour in hour_of_week(local_time(CITY_TZ).seconds(at)).tolist()]
    return {
        "city": [CITY] * len(hours),
        "pickup": list(pickup),
        "dropoff": list(dropoff),
        "pair": [pair_key(a, b) for a, b in zip(pickup, dropoff, strict=True)],
        "reverse": [pair_key(b, a) for a, b in zip(pickup, dropoff, strict=True)],
        "outbound": [pair_key(a, ANY) for a in pickup],
        "inbound": [pair_key(ANY, b) for b in dropoff],
        "city_hour": [f"{ANY}|{hour}" for hour in hours],
        "pickup_hour": [f"{a}|{hour}" for a, hour in zip(pickup, hours, strict=True)],
        "dropoff_hour": [f"{b}|{hour}" for b, hour in zip(dropoff, hours, strict=True)],
    }


def trip_columns(
    zones: Zones, pickup: Positions, dropoff: Positions, at: Floats, looked_up: Mapping[str, Floats]
) -> dict[str, Floats]:
    """The vector's columns by name, for positions of zones, start times and all looked-up columns."""
    lat, lon, to_lat, to_lon = zones.lat[pickup], zones.lon[pickup], zones.lat[dropoff], zones.lon[dropoff]
    distance_m = haversine_m(lat, lon, to_lat, to_lon)
    local_s = local_time(CITY_TZ).seconds(at)
    columns = {
        "distance_km": distance_m / 1000.0,
        "pickup_lat": lat,
        "pickup_lon": lon,
        "dropoff_lat": to_lat,
        "dropoff_lon": to_lon,
        **_bearing(lat, lon, to_lat, to_lon),
        **_calendar(local_s),
        **_pair(distance_m, looked_up, day_part((local_s % DAY_S // HOUR_S).astype(np.intp))),
        **_hours(looked_up),
        **_live(looked_up),
    }
    columns[OFFSET] = columns["reference_log_s"] + _PART_SLOPE * columns["part_log_ratio"] + _city_now(columns)
    return columns


def _bearing(lat: Floats, lon: Floats, to_lat: Floats, to_lon: Floats) -> dict[str, Floats]:
    east, north = (to_lon - lon) * np.cos(np.radians(lat)), to_lat - lat
    length = np.hypot(east, north)
    length = np.where(length > 0, length, 1.0)
    return {"bearing_sin": east / length, "bearing_cos": north / length}


def _calendar(local_s: Floats) -> dict[str, Floats]:
    hour = local_s % DAY_S / HOUR_S
    weekday = (local_s // DAY_S + 3) % 7
    day, week = hour * (2 * np.pi / 24), (weekday * 24 + hour) * (2 * np.pi / 168)
    return {
        "hour": hour,
        "weekday": weekday,
        "day_sin": np.sin(day),
        "day_cos": np.cos(day),
        "week_sin": np.sin(week),
        "week_cos": np.cos(week),
    }


def _pair(distance_m: Floats, looked_up: Mapping[str, Floats], part: npt.NDArray[np.intp]) -> dict[str, Floats]:
    rows = np.arange(len(part))
    part_weight = np.array([looked_up[f"pair.weight_{name}"] for name in DAY_PARTS])[part, rows]
    part_excess = np.array([looked_up[f"pair.log_excess_{name}"] for name in DAY_PARTS])[part, rows]
    weights = np.array([looked_up["pair.weight"], looked_up["reverse.weight"], part_weight])
    pair_weight, reverse_weight, known_part_weight = np.where(weights > 0, weights, 0.0)
    return {
        "reference_log_s": reference_log_s(distance_m, looked_up),
        "pair_log_excess": looked_up["pair.log_excess"],
        "pair_weight": pair_weight,
        "pair_spread": looked_up["pair.spread"],
        "reverse_log_excess": looked_up["reverse.log_excess"],
        "reverse_weight": reverse_weight,
        "part_log_ratio": shrink(part_excess - looked_up["pair.log_excess"], part_weight, 0.0, _PART_PRIOR),
        "part_weight": known_part_weight,
    }


def _hours(looked_up: Mapping[str, Floats]) -> dict[str, Floats]:
    ratio = np.array([looked_up[f"{role}.log_ratio"] for role in _HOUR_ROLES])
    weight = np.array([looked_up[f"{role}.weight"] for role in _HOUR_ROLES])
    shrunk = shrink(ratio, weight, 0.0, _HOUR_PRIOR)
    return {f"{role}_log_ratio": shrunk[i] for i, role in enumerate(_HOUR_ROLES)}


def _live(looked_up: Mapping[str, Floats]) -> dict[str, Floats]:
    """City and zones now; a zone relative to the city: a slow zone and a city that slows down are two things."""
    columns = {f"city_log_ratio_{window}": looked_up[f"city.log_ratio_{window}"] for window in _CITY_WINDOWS}
    columns["city_count_60m"] = looked_up["city.count_60m"]
    city = np.array([looked_up[f"city.log_ratio_{window}"] for _, window in _ZONE_LIVE])
    ratio = np.array([looked_up[f"{role}.log_ratio_{window}"] for role, window in _ZONE_LIVE])
    count = np.array([looked_up[f"{role}.count_{window}"] for role, window in _ZONE_LIVE])
    relative = shrink(ratio - city, count, 0.0, _ZONE_LIVE_PRIOR)
    relative[np.isnan(count)] = np.nan
    return columns | {f"{role}_log_ratio_{window}": relative[i] for i, (role, window) in enumerate(_ZONE_LIVE)}


def _city_now(columns: Mapping[str, Floats]) -> Floats:
    """The city's log-ratio of the last hour, shrunk towards the usual one of this hour of the week."""
    usual = columns["city_hour_log_ratio"]
    return shrink(columns["city_log_ratio_60m"], columns["city_count_60m"], usual, _CITY_LIVE_PRIOR)
