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


# Where things stand in the rows that a vector is made of: geometry, calendar, all that is looked up, this trip's part
# of the day, a row of zeros to subtract where there is nothing to; then what is computed from those.
_CALENDAR: Final = ("hour", "weekday", "day_sin", "week_sin", "day_cos", "week_cos")
_GIVEN: Final = (*PAIR_GEOMETRY, *_CALENDAR, *LOOKED_UP, "part.weight", "part.log_excess", "zero")
_AT: Final = {name: i for i, name in enumerate(_GIVEN)}
_HOUR, _SIN, _COS = _AT["hour"], _AT["day_sin"], _AT["day_cos"]
_LOOKED_UP: Final = slice(_AT[LOOKED_UP[0]], _AT[LOOKED_UP[0]] + len(LOOKED_UP))
_PART: Final = slice(_AT["part.weight"], _AT["part.log_excess"] + 1)
_PART_AT: Final = np.array(
    [[LOOKED_UP.index(f"pair.{what}_{part}") for part in DAY_PARTS] for what in ("weight", "log_excess")]
)

# Averages over trips that are shrunk: name, mean, what it is relative to, weight, prior.
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
    # These two are shrunk towards others: the pair towards its zones, the city's last hour towards the usual one.
    ("pair", "pair.log_excess", "zero", "pair.weight", _PAIR_PRIOR),
    ("city_now", "city.log_ratio_60m", "zero", "city.count_60m", _CITY_LIVE_PRIOR),
)
_RATIO: Final = {name: i for i, (name, *_) in enumerate(_RATIOS)}
_MEAN: Final = np.array([_AT[mean] for _, mean, _, _, _ in _RATIOS])
_BASE: Final = np.array([_AT[base] for _, _, base, _, _ in _RATIOS])
_PRIOR: Final = np.array([[prior] for _, _, _, _, prior in _RATIOS])
_LIVE: Final = slice(_RATIO["pickup_log_ratio_30m"], _RATIO["pair"])
_LIVE_COUNTS: Final = np.array([_AT[count] for _, _, _, count, _ in _RATIOS[_LIVE]])
_KNOWN: Final = {"pair_weight": "pair.weight", "reverse_weight": "reverse.weight", "part_weight": "part.weight"}
_WEIGHTS: Final = np.array([_AT[weight] for weight in (*(weight for _, _, _, weight, _ in _RATIOS), *_KNOWN.values())])

_COMPUTED: Final = (*_RATIO, *_KNOWN, "reference_log_s", OFFSET)
_PLACE: Final = _AT | {name: len(_GIVEN) + i for i, name in enumerate(_COMPUTED)}
_ROWS: Final = len(_GIVEN) + len(_COMPUTED)
# An entry that is looked up as it is has the column's name: `pair_spread` is `pair.spread`.
_VECTOR: Final = np.array([_PLACE[n] if n in _PLACE else _AT[n.replace("_", ".", 1)] for n in ETA_SCHEMA.names])


def shrink(mean: Floats, weight: Floats, towards: Floats | float, prior: Floats | float) -> Floats:
    """A mean over `weight` trips, pulled towards a value that counts for `prior` trips; that value where it is NaN."""
    known = (weight > 0) & (mean == mean)  # noqa: PLR0124 - NaN differs from itself
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
    rows = np.empty((_ROWS, len(at)))
    rows[: len(PAIR_GEOMETRY)] = zones.pairs.of(pickup, dropoff)
    local_s = local_time(CITY_TZ).seconds(at)
    rows[_HOUR] = hour = local_s % DAY_S / HOUR_S
    rows[_HOUR + 1] = weekday = (local_s // DAY_S + 3) % 7
    angles = np.array([hour * (2 * np.pi / 24), (weekday * 24 + hour) * (2 * np.pi / 168)])
    np.sin(angles, out=rows[_SIN : _SIN + 2])
    np.cos(angles, out=rows[_COS : _COS + 2])
    rows[_LOOKED_UP] = looked_up
    rows[_PART] = looked_up[_PART_AT[:, day_part(hour.astype(np.intp))], np.arange(len(at))]
    rows[_AT["zero"]] = 0.0
    _compute(rows, rows[len(_GIVEN) :])
    return ETA_SCHEMA.clipped(rows[_VECTOR])


def _compute(rows: Floats, computed: Floats) -> None:
    """Fill in the rows `_COMPUTED`; `shrink` and `reference_log_s` for all that need it at once."""
    weights = np.fmax(rows[_WEIGHTS], 0.0)  # NaN is no weight
    means = rows[_MEAN] - rows[_BASE]
    known = means == means  # noqa: PLR0124 - NaN differs from itself
    trips = weights[: len(_RATIOS)] * known
    total = trips + _PRIOR
    shrunk = trips * np.where(known, means, 0.0) / total
    # Absent where the zone's window is absent, not where it is empty: NaN stays NaN, and zero adds nothing.
    shrunk[_LIVE] += 0.0 * rows[_LIVE_COUNTS]
    zones = 0.5 * (shrunk[_RATIO["outbound"]] + shrunk[_RATIO["inbound"]])
    usual = shrunk[_RATIO["city_hour_log_ratio"]]
    pair = shrunk[_RATIO["pair"]] + _PAIR_PRIOR / total[_RATIO["pair"]] * zones
    city_now = shrunk[_RATIO["city_now"]] + _CITY_LIVE_PRIOR / total[_RATIO["city_now"]] * usual
    reference = rows[_AT["typical_log_s"]] + pair
    computed[: len(_RATIOS)] = shrunk
    computed[len(_RATIOS) : -2] = weights[len(_RATIOS) :]
    computed[-2] = reference
    computed[-1] = reference + _PART_SLOPE * shrunk[_RATIO["part_log_ratio"]] + city_now
