"""Any file of trips as the canonical frame: ours as it is, the TLC's cleaned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from adapters import trips_file
from adapters.tables import read_zones
from contracts.errors import DataRefused, NotFound, SchemaMismatch
from contracts.trips import MAX_DURATION_S, MIN_DURATION_S, TRIP_COLUMNS
from pipelines.data import read_month
from training.trips import COLOURS, clean, source_columns


def read_trips(file: Path) -> pd.DataFrame:
    """Read a canonical trip frame as it stands; raises NotFound, SchemaMismatch, DataRefused."""
    if not file.is_file():
        raise NotFound("trips file", str(file), "`tandem data` brings trips in")
    return trips_file.read_trips(file)


def read_any_trips(file: Path, zones_file: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give the canonical frame of a file and how many rows each rule dropped.

    A TLC file is taken for the month that most of its trips began in, whatever its name. Raises NotFound,
    SchemaMismatch where the columns are neither ours nor the TLC's, DataRefused for a file without a usable trip or,
    if it is ours, with a zone that is not of the city.
    """
    names = trips_file.read_schema(file).names
    zones = read_zones(zones_file).ids
    colours = [colour for colour in COLOURS if source_columns(colour)[0] in names]
    if set(TRIP_COLUMNS) <= set(names):
        trips, dropped = _canonical(file, zones)
    elif colours:
        trips, dropped = _official(file, colours[0], zones)
    else:
        missing = [name for name in TRIP_COLUMNS if name not in names]
        raise SchemaMismatch(str(file), f"no {', '.join(missing)}", "a canonical trips file, or one of the TLC's")
    if trips.empty:
        raise DataRefused(str(file), "has no trip that passes the cleaning rules")
    return trips, dropped


def _official(file: Path, colour: str, zones: Sequence[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    raw = read_month(file, colour)
    months = pd.to_datetime(raw[source_columns(colour)[0]], errors="coerce").dt.to_period("M").mode()
    if months.empty:
        raise DataRefused(str(file), f"none of its {len(raw)} rows has a pickup time")
    return clean(raw, colour=colour, month=months.iloc[0], zones=zones)


def _canonical(file: Path, zones: Sequence[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    trips = trips_file.read_trips(file)
    for name in ("pickup_zone", "dropoff_zone"):
        unknown = ~trips[name].isin(zones)
        if unknown.any():
            row = int(unknown.argmax())
            words = f"row {row + 1}: {name} {trips[name].iloc[row]!r} is none of the city's {len(zones)} zones"
            raise DataRefused(str(file), words)
    plausible = trips["duration_s"].between(MIN_DURATION_S, MAX_DURATION_S)
    kept = trips[plausible].sort_values(["pickup_at", "trip_id"], ignore_index=True)
    return kept, {"duration_outside_1_to_120_min": int((~plausible).sum())}
