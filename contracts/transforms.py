"""Row transforms of the ETA model, used by both tiers, so that what is trained on is what is served.

Arrays are [n], one entry a trip; times are epoch seconds, distances metres; a looked-up column is named
``role.feature`` and NaN where it is absent. A log-ratio is ln(actual / expected): above zero, the trip took longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.distance import typical_log_s
from contracts.features import ANY, DAY_PARTS, ETA_SCHEMA, LOOKED_UP, OFFSET
from contracts.local_time import DAY_S, HOUR_S, Ints, hour_of_week, local_time
from contracts.schema import Floats, Matrix
from contracts.trips import CITY, CITY_TZ
from contracts.zones import PAIR_GEOMETRY, Positions, Zones, pair_key

# Trips that an average has to gather before it outweighs what it is shrunk towards.
_PAIR_PRIOR: Final = 3.0
_ZONE_PRIOR: Final = 5.0
_PART_PRIOR: Final = 5.0
_HOUR_PRIOR: Final = 3.0
_CITY_LIVE_PRIOR: Final = 20.0
_ZONE_WINDOWS: Final = {"30m": 5.0, "60m": 5.0, "1d": 10.0, "7d": 10.0}

# How much of a pair's deviation in this part of the day lasts: the slope of a regression on later trips.
_PART_SLOPE: Final = 0.7

# The part that began last, round the clock.
_PART_OF_HOUR: Final = np.argmin((np.arange(24)[:, None] - np.array(list(DAY_PARTS.values()))) % 24, axis=1)


# Where things stand in the rows that a vector is made of: geometry, calendar, all that is looked up, then this trip's
# part of the day, and a row of zeros to subtract where there is nothing to.
_CALENDAR: Final = ("hour", "weekday", "day_sin", "week_sin", "day_cos", "week_cos")
_NAMES: Final = (*PAIR_GEOMETRY, *_CALENDAR, *LOOKED_UP, "part.weight", "part.log_excess", "zero")
_ROW: Final = {name: i for i, name in enumerate(_NAMES)}
_PART_WEIGHT: Final = np.array([LOOKED_UP.index(f"pair.weight_{name}") for name in DAY_PARTS])
_PART_EXCESS: Final = np.array([LOOKED_UP.index(f"pair.log_excess_{name}") for name in DAY_PARTS])

# Log-ratios that are shrunk towards zero: name, mean, what it is relative to, weight, prior.
_ROLES: Final = ("pickup", "dropoff")
_RATIOS: Final[tuple[tuple[str, str, str, str, float], ...]] = (
    *((role, f"{role}.log_excess", "zero", f"{role}.weight", _ZONE_PRIOR) for role in ("outbound", "inbound")),
    ("part_log_ratio", "part.log_excess", "pair.log_excess", "part.weight", _PART_PRIOR),
    *(
        (f"{role}_log_ratio", f"{role}.log_ratio", "zero", f"{role}.weight", _HOUR_PRIOR)
        for role in ("city_hour", "pickup_hour", "dropoff_hour")
    ),
    # A zone relative to the city: a slow zone and a city that slows down are two things.
    *(
        (f"{role}_log_ratio_{w}", f"{role}.log_ratio_{w}", f"city.log_ratio_{w}", f"{role}.count_{w}", prior)
        for role in _ROLES
        for w, prior in _ZONE_WINDOWS.items()
    ),
)
_MEAN: Final = np.array([_ROW[mean] for _, mean, _, _, _ in _RATIOS])
_BASE: Final = np.array([_ROW[base] for _, _, base, _, _ in _RATIOS])
_WEIGHT: Final = np.array([_ROW[weight] for _, _, _, weight, _ in _RATIOS])
_PRIOR: Final = np.array([[prior] for _, _, _, _, prior in _RATIOS])
_LIVE: Final = len(_RATIOS) - len(_ROLES) * len(_ZONE_WINDOWS)  # the first of the zones' live ratios
_RATIO: Final = {ratio[0]: i for i, ratio in enumerate(_RATIOS)}
_WEIGHTS: Final = {"pair_weight": "pair.weight", "reverse_weight": "reverse.weight", "part_weight": "part.weight"}
_WEIGHTS_AT: Final = np.array([_ROW[name] for name in _WEIGHTS.values()])
# What is shrunk towards those: the pair towards its zones, the city's last hour towards the usual one of this hour.
_LEVEL_MEAN: Final = np.array([_ROW["pair.log_excess"], _ROW["city.log_ratio_60m"]])
_LEVEL_WEIGHT: Final = np.array([_ROW["pair.weight"], _ROW["city.count_60m"]])
_LEVEL_PRIOR: Final = np.array([[_PAIR_PRIOR], [_CITY_LIVE_PRIOR]])


def _vector_rows() -> npt.NDArray[np.intp]:
    """Where each entry of the vector comes from."""
    made = (*_RATIO, *_WEIGHTS, "reference_log_s", OFFSET)
    place = _ROW | {name: len(_NAMES) + i for i, name in enumerate(made)}
    # An entry that is looked up as it is has the column's name: `pair_spread` is `pair.spread`.
    return np.array([place[name] if name in place else _ROW[name.replace("_", ".", 1)] for name in ETA_SCHEMA.names])


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


def trip_vectors(zones: Zones, pickup: Positions, dropoff: Positions, at: Floats, looked_up: Floats) -> Matrix:
    """The model's vectors, float32 [n, features], for positions of zones, start times and all looked-up columns.

    `looked_up` is [columns, n] in the order of `LOOKED_UP`. The steps are few and wide: for one trip an operation on an
    array costs what the operation costs, not what is in the array.
    """
    local_s = local_time(CITY_TZ).seconds(at)
    hour = local_s % DAY_S / HOUR_S
    part = day_part(hour.astype(np.intp))
    trips = np.arange(len(at))
    rows = np.concatenate(
        [
            zones.pairs.of(pickup, dropoff),
            _calendar(local_s, hour),
            looked_up,
            looked_up[_PART_WEIGHT[part], trips][None],
            looked_up[_PART_EXCESS[part], trips][None],
            np.zeros((1, len(at))),
        ]
    )
    ratios = _relative(rows)
    return ETA_SCHEMA.clipped(np.concatenate([rows, ratios, _levels(rows, ratios)])[_VECTOR])


def _calendar(local_s: Floats, hour: Floats) -> Floats:
    """Rows hour, weekday, day_sin, week_sin, day_cos, week_cos."""
    weekday = (local_s // DAY_S + 3) % 7
    angles = np.array([hour * (2 * np.pi / 24), (weekday * 24 + hour) * (2 * np.pi / 168)])
    return np.concatenate([[hour, weekday], np.sin(angles), np.cos(angles)])


def _relative(rows: Floats) -> Floats:
    """Rows of `_RATIOS`, then of `_WEIGHTS`."""
    weight = rows[_WEIGHT]
    shrunk = shrink(rows[_MEAN] - rows[_BASE], weight, 0.0, _PRIOR)
    # Absent where the zone's window is absent, not where it is empty.
    shrunk[_LIVE:][np.isnan(weight[_LIVE:])] = np.nan
    known = rows[_WEIGHTS_AT]
    return np.concatenate([shrunk, np.where(known > 0, known, 0.0)])


def _levels(rows: Floats, ratios: Floats) -> Floats:
    """Rows reference_log_s (see the function) and the offset: the reference, this part of the day, the city now."""
    zones = 0.5 * (ratios[_RATIO["outbound"]] + ratios[_RATIO["inbound"]])
    towards = np.array([zones, ratios[_RATIO["city_hour_log_ratio"]]])
    pair, city_now = shrink(rows[_LEVEL_MEAN], rows[_LEVEL_WEIGHT], towards, _LEVEL_PRIOR)
    reference = rows[_ROW["typical_log_s"]] + pair
    return np.array([reference, reference + _PART_SLOPE * ratios[_RATIO["part_log_ratio"]] + city_now])


_VECTOR: Final = _vector_rows()
