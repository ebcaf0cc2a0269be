"""From the TLC's trip records to the canonical trip frame: which rows are trips, and why the others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from contracts.errors import SchemaMismatch
from contracts.trips import CITY_TZ, MAX_DURATION_S, MIN_DURATION_S, TRIP_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

KM_PER_MILE: Final = 1.609344
MIN_MILES: Final = 0.1
MAX_MILES: Final = 60.0
MIN_MPH: Final = 1.0
MAX_MPH: Final = 70.0

_TIMES: Final = {"green": "lpep", "yellow": "tpep"}
COLOURS: Final = tuple(_TIMES)

# The first rule that a row breaks takes it.
RULES: Final = (
    "missing_times_or_zones",  # also times that are no times
    "pickup_outside_month",
    "unknown_zone",
    "duration_outside_1_to_120_min",
    "distance_outside_0.1_to_60_mi",
    "speed_outside_1_to_70_mph",
    "local_time_ambiguous_or_nonexistent",
    "duplicate",
)


def source_columns(colour: str) -> tuple[str, ...]:
    """Name the columns read from a TLC file: pickup and dropoff time, their zones, distance in miles."""
    prefix = _TIMES[colour]
    return (
        f"{prefix}_pickup_datetime",
        f"{prefix}_dropoff_datetime",
        "PULocationID",
        "DOLocationID",
        "trip_distance",
    )


def check_columns(file: str, colour: str, present: Iterable[str]) -> None:
    """Refuse a file that lacks a column of the TLC's.

    Raises:
        SchemaMismatch: names the file and the columns it lacks.

    """
    columns = list(present)
    if missing := [name for name in source_columns(colour) if name not in columns]:
        found = f"no {', '.join(missing)} among its {len(columns)} columns"
        raise SchemaMismatch(file, found, f"the TLC's {colour} columns {', '.join(source_columns(colour))}")


def clean(
    raw: pd.DataFrame, *, colour: str, month: pd.Period, zones: Collection[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Make trips of one month's file.

    Args:
        raw: all the file's rows in their order, with at least `source_columns(colour)`; times local and naive,
            timestamps or text.
        colour: "green" or "yellow".
        month: the month the file is of.
        zones: the LocationIDs that have a place.

    Returns:
        The canonical trip frame, sorted, and the number of rows that each of `RULES` dropped.

    """
    columns = list(source_columns(colour))
    pickup_local, dropoff_local = (_local(raw[name]) for name in columns[:2])
    pickup_zone, dropoff_zone, miles = (raw[name] for name in columns[2:])
    pickup_at, dropoff_at = _utc(pickup_local), _utc(dropoff_local)
    # Over a change of the clocks only UTC tells how long a trip took; where there is none, the naive difference stands.
    duration_s = (dropoff_at - pickup_at).fillna(dropoff_local - pickup_local).dt.total_seconds()
    with np.errstate(divide="ignore", invalid="ignore"):
        mph = miles / (duration_s / 3600)
    known = [int(zone) for zone in zones]
    present = pickup_local.notna() & dropoff_local.notna() & pickup_zone.notna() & dropoff_zone.notna()
    passes = {
        "missing_times_or_zones": present,
        "pickup_outside_month": pickup_local.dt.to_period("M") == month,
        "unknown_zone": pickup_zone.isin(known) & dropoff_zone.isin(known),
        "duration_outside_1_to_120_min": duration_s.between(MIN_DURATION_S, MAX_DURATION_S),
        "distance_outside_0.1_to_60_mi": miles.between(MIN_MILES, MAX_MILES),
        "speed_outside_1_to_70_mph": mph.between(MIN_MPH, MAX_MPH),
        "local_time_ambiguous_or_nonexistent": pickup_at.notna() & dropoff_at.notna(),
    }
    kept = pd.Series(True, index=raw.index)
    dropped: dict[str, int] = {}
    for rule in RULES[:-1]:
        dropped[rule] = int((kept & ~passes[rule]).sum())
        kept &= passes[rule]
    repeated = raw.loc[kept, columns].duplicated()
    dropped[RULES[-1]] = int(repeated.sum())
    kept[repeated.index[repeated]] = False

    row = np.flatnonzero(kept.to_numpy())
    trips = pd.DataFrame(
        {
            "trip_id": [f"{colour}-{month}-{number:08d}" for number in row],
            "pickup_at": pickup_at[kept].array,
            "dropoff_at": dropoff_at[kept].array,
            "pickup_zone": pickup_zone[kept].astype(int).astype(str).array,
            "dropoff_zone": dropoff_zone[kept].astype(int).astype(str).array,
            "duration_s": duration_s[kept].array,
            "distance_km": miles[kept].array * KM_PER_MILE,
        }
    ).reindex(columns=list(TRIP_COLUMNS))
    return trips.sort_values(["pickup_at", "trip_id"], ignore_index=True), dropped


def _local(times: pd.Series[Any]) -> pd.Series[pd.Timestamp]:
    """Naive timestamps; the TLC's older months hold them as text, and what can't be read is missing."""
    if pd.api.types.is_datetime64_dtype(times):
        return times
    return pd.to_datetime(times, format="%Y-%m-%d %H:%M:%S", errors="coerce")


def _utc(local: pd.Series[pd.Timestamp]) -> pd.Series[pd.Timestamp]:
    """Naive New York times to UTC; NaT where the clocks make a time ambiguous or skip it."""
    return local.dt.tz_localize(CITY_TZ, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC").dt.as_unit("us")
