"""Any file of trips as the canonical frame: ours as it is, the TLC's cleaned."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adapters.tables import read_zones
from contracts.errors import DataRefused, NotFound, SchemaMismatch
from contracts.trips import MAX_DURATION_S, MIN_DURATION_S, TRIP_COLUMNS
from pipelines.data import read_month
from training.trips import COLOURS, clean, source_columns


def read_trips(file: Path) -> pd.DataFrame:
    """Read a canonical trip frame as it stands; raises NotFound."""
    if not file.is_file():
        raise NotFound("trips file", str(file), "`tandem data` brings trips in")
    return pd.read_parquet(file, columns=list(TRIP_COLUMNS))


def read_any_trips(file: Path, zones_file: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give the canonical frame of a file and how many rows each rule dropped.

    A TLC file is taken for the month that most of its trips began in, whatever its name. Raises NotFound,
    SchemaMismatch where the columns are neither ours nor the TLC's, DataRefused for a file without a usable trip.
    """
    if not file.is_file():
        raise NotFound("trips file", str(file))
    try:
        names = pq.read_schema(file).names
    except pa.ArrowInvalid as error:
        raise DataRefused(str(file), f"not a Parquet file ({error})") from error
    ours = set(TRIP_COLUMNS) <= set(names)
    colours = [colour for colour in COLOURS if source_columns(colour)[0] in names]
    if ours:
        trips, dropped = _canonical(file)
    elif colours:
        raw = read_month(file, colours[0])
        month = pd.to_datetime(raw[source_columns(colours[0])[0]], errors="coerce").dt.to_period("M").mode().iloc[0]
        trips, dropped = clean(raw, colour=colours[0], month=month, zones=read_zones(zones_file).ids)
    else:
        missing = [name for name in TRIP_COLUMNS if name not in names]
        raise SchemaMismatch(str(file), f"no {', '.join(missing)}", "a canonical trips file, or one of the TLC's")
    if trips.empty:
        raise DataRefused(str(file), "has no trip that passes the cleaning rules")
    return trips, dropped


def _canonical(file: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    trips = pd.read_parquet(file, columns=list(TRIP_COLUMNS))
    for name in ("pickup_at", "dropoff_at"):
        if not isinstance(trips[name].dtype, pd.DatetimeTZDtype):
            raise SchemaMismatch(f"{file}, column {name}", str(trips[name].dtype), "times in UTC")
    if trips["trip_id"].duplicated().any():
        repeated = trips.loc[trips["trip_id"].duplicated(), "trip_id"].iloc[0]
        raise DataRefused(str(file), f"trip_id {repeated!r} repeats")
    plausible = trips["duration_s"].between(MIN_DURATION_S, MAX_DURATION_S)
    kept = trips[plausible].sort_values(["pickup_at", "trip_id"], ignore_index=True)
    return kept, {"duration_outside_1_to_120_min": int((~plausible).sum())}
