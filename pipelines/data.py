"""Bring trips in: the Manhattan sample, or the TLC's own files."""

from __future__ import annotations

import hashlib
import re
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from adapters.download import download
from adapters.trips_file import file_sha256, read_columns, read_schema, trips_writer, write_zones
from adapters.wheel import fetch_wheel
from contracts.errors import DataRefused, InvalidInput, NotFound, SchemaMismatch
from contracts.trips import ZONE_COLUMNS
from simulation.city import City
from simulation.congestion import CongestionLaw
from simulation.sample import SOURCE, draw_trips
from training.trips import COLOURS, RULES, check_columns, clean, source_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

PYHAILING: Final = ("pyhailing", "0.0.9", "1b904591a65d60336267d0a3d1d63e4c62b7ff27076aa7dbe21c666f8b1443d2")
SAMPLE_START: Final = date(2018, 4, 2)  # a Monday; six weeks without a holiday or a change of the clocks

MAX_WEEKS: Final = 520
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2100

ZONES_FILE: Final = "taxi_zone_centroids.csv"
_ZONES_COLUMNS: Final = ("LocationID", "zone", "borough", "lon", "lat")
_DEGREES: Final = {"lat": 90, "lon": 180}
# 264 and 265 stand for "unknown" and "outside of the city".
_LAST_ZONE: Final = 263
_TIME_KINDS: Final = "local times as text or as timestamps without a zone"
_MONTHS: Final = re.compile(r"(\d{4}-\d{2})(?:\.\.(\d{4}-\d{2}))?")


def sample(
    home: Path,
    *,
    trips: int = 500_000,
    weeks: int = 6,
    start: date = SAMPLE_START,
    seed: int = 7,
    progress: bool = False,
) -> dict[str, Any]:
    """Draw trips from Manhattan's real demand and speeds into `home/data`.

    Args:
        home: TANDEM_HOME.
        trips: the expected number; the number drawn is Poisson.
        weeks: how many weeks of five business days.
        start: the first day, a Monday.
        seed: the same seed writes the same bytes.
        progress: whether to draw a progress bar on stderr.

    Returns:
        What was written: rows, days, rows dropped, hashes and paths.

    Raises:
        InvalidInput: an argument is out of bounds.
        Unavailable: the wheel with the aggregates can't be fetched.

    """
    if trips < 1 or weeks < 1:
        raise InvalidInput("trips" if trips < 1 else "weeks", f"{min(trips, weeks)}, expected at least 1")
    if weeks > MAX_WEEKS:
        raise InvalidInput("weeks", f"{weeks}, expected at most {MAX_WEEKS}")
    if not FIRST_YEAR <= start.year <= LAST_YEAR:
        raise InvalidInput("start", f"{start}, expected a day of the years {FIRST_YEAR} to {LAST_YEAR}")
    if start.weekday() != 0:
        raise InvalidInput("start", f"{start} is a {start:%A}, expected a Monday")
    trips_file, zones_file = home / "data" / "trips.parquet", home / "data" / "zones.parquet"
    with tqdm(total=4, desc="fetch the aggregates", disable=not progress, file=sys.stderr) as bar:
        wheel = fetch_wheel(*PYHAILING, cache=home / "cache")
        bar.update()
        bar.set_description("read the city")
        city = City.from_wheel(wheel)
        bar.update()
        bar.set_description("draw the trips")
        draw = draw_trips(city, trips=trips, weeks=weeks, start=start, seed=seed, law=CongestionLaw())
        bar.update()
        bar.set_description("write the files")
        source = f"{SOURCE}; {weeks} weeks from {start}, seed {seed}"
        write_zones(zones_file, city.zones.frame(), SOURCE)
        with trips_writer(trips_file, source) as append:
            append(draw.trips)
        bar.update()
    return {
        "source": source,
        "rows": len(draw.trips),
        "business_days": weeks * 5,
        "dropped": {"duration_outside_1_to_120_min": draw.outside_duration},
        "zones": len(city.zones.ids),
        "files": {str(path): file_sha256(path) for path in (trips_file, zones_file)},
    }


def tlc(
    home: Path,
    *,
    source: str,
    months: str,
    zones: str | None = None,
    colours: Sequence[str] = ("green",),
    progress: bool = False,
) -> dict[str, Any]:
    """Clean months of the TLC's trip records into `home/data`.

    Args:
        home: TANDEM_HOME; downloads are kept in `cache/tlc` below it.
        source: a directory or an http(s) URL that holds `{colour}_tripdata_YYYY-MM.parquet`.
        months: "2020-04" or "2020-04..2021-01", both ends included.
        zones: path or URL of a CSV file with LocationID, zone, borough, lon, lat; None means
            `taxi_zone_centroids.csv` at the source.
        colours: "green", "yellow" or both.
        progress: whether to draw progress bars on stderr.

    Returns:
        What was written: rows, rows read and dropped by month and rule, hashes of what was read and written.

    Raises:
        InvalidInput: months or colours make no sense.
        NotFound: a file is not there.
        SchemaMismatch: a file's columns are not the TLC's.
        DataRefused: a file is no Parquet or CSV file, or no row of all passes.
        Unavailable: a download broke off.

    """
    wanted = _months(months)
    if not colours or not set(colours) <= set(COLOURS):
        raise InvalidInput("colours", f"{', '.join(colours) or 'none'}, expected some of {', '.join(COLOURS)}")
    cache = home / "cache" / "tlc"
    zones_from = _bring_zones(zones or f"{source.rstrip('/')}/{ZONES_FILE}", cache, progress=progress)
    zone_table = _read_zones(zones_from)
    known = set(zone_table["zone"])
    trips_file, zones_file = home / "data" / "trips.parquet", home / "data" / "zones.parquet"
    words = f"TLC trip records, {' and '.join(colours)}, {wanted[0]} to {wanted[-1]}, cleaned"
    reports: list[dict[str, Any]] = []
    inputs = {zones_from.name: file_sha256(zones_from)}
    with trips_writer(trips_file, words) as append:
        for month in tqdm(wanted, desc="months", disable=not progress, file=sys.stderr):
            parts = []
            for colour in colours:
                name = f"{colour}_tripdata_{month}.parquet"
                file = _bring(f"{source.rstrip('/')}/{name}", cache, progress=progress)
                raw = read_month(file, colour)
                trips, dropped = clean(raw, colour=colour, month=month, zones=known)
                inputs[name] = file_sha256(file)
                reports.append({"file": name, "read": len(raw), "kept": len(trips), "dropped": dropped})
                parts.append(trips)
            append(pd.concat(parts).sort_values(["pickup_at", "trip_id"], ignore_index=True))
        rows = sum(report["kept"] for report in reports)
        if not rows:
            raise DataRefused(words, f"none of {sum(report['read'] for report in reports)} rows passes the rules")
    write_zones(zones_file, zone_table, f"TLC taxi zones, points from {zones_from.name}")
    return {
        "source": words,
        "rows": rows,
        "read": sum(report["read"] for report in reports),
        "dropped": {rule: sum(report["dropped"][rule] for report in reports) for rule in RULES},
        "zones": len(zone_table),
        "months": reports,
        "inputs": inputs,
        "files": {str(path): file_sha256(path) for path in (trips_file, zones_file)},
    }


def _months(words: str) -> list[pd.Period]:
    match = _MONTHS.fullmatch(words)
    try:
        first, last = (pd.Period(text, "M") for text in (match[1], match[2] or match[1])) if match else (None, None)
    except ValueError:
        first = last = None
    if first is None or last is None or last < first:
        raise InvalidInput("months", f"{words!r}, expected YYYY-MM or YYYY-MM..YYYY-MM with the earlier month first")
    return list(pd.period_range(first, last, freq="M"))


def _bring(place: str, cache: Path, *, progress: bool) -> Path:
    if place.startswith(("http://", "https://")):
        # The same name at another address is another file.
        folder, name = place.rsplit("/", 1)
        return download(place, cache / hashlib.sha256(folder.encode()).hexdigest()[:16] / name, progress=progress)
    if "://" in place:
        raise InvalidInput("address", f"{place!r}, expected a path, http://… or https://…")
    path = Path(place)
    if not path.is_file():
        raise NotFound("file", place)
    return path


def _bring_zones(place: str, cache: Path, *, progress: bool) -> Path:
    try:
        return _bring(place, cache, progress=progress)
    except NotFound as error:
        needed = f"needed: a CSV file with the columns {', '.join(_ZONES_COLUMNS)}, a row for each zone (--zones)"
        raise NotFound("zones file", place, needed) from error


def read_month(file: Path, colour: str) -> pd.DataFrame:
    """Read what is needed of a TLC file; raises SchemaMismatch or DataRefused for a file that is none."""
    present = read_schema(file)
    check_columns(str(file), colour, present.names)
    columns = source_columns(colour)
    for name in columns:
        kind = present.field(name).type
        fits, expected = (_is_time(kind), _TIME_KINDS) if name in columns[:2] else (_is_number(kind), "numbers")
        if not fits:
            raise SchemaMismatch(f"{file}, column {name}", str(kind), expected)
    return read_columns(file, columns)


def _is_time(kind: Any) -> bool:
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(text or (pa.types.is_timestamp(kind) and kind.tz is None))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _read_zones(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, dtype={"LocationID": "Int64"})
    except (ValueError, UnicodeDecodeError) as error:
        raise DataRefused(str(file), f"not a CSV file of zones ({error})") from error
    if missing := [name for name in _ZONES_COLUMNS if name not in table.columns]:
        raise SchemaMismatch(str(file), f"no {', '.join(missing)}", f"the columns {', '.join(_ZONES_COLUMNS)}")
    for name in _DEGREES:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise SchemaMismatch(f"{file}, column {name}", str(table[name].dtype), "numbers")
    placed = table["LocationID"].between(1, _LAST_ZONE) & np.isfinite(table["lat"]) & np.isfinite(table["lon"])
    _check_places(file, table[placed])
    table = table[placed].drop_duplicates("LocationID").sort_values("LocationID", ignore_index=True)
    frame = table[list(_ZONES_COLUMNS)].rename(columns={"zone": "name", "LocationID": "zone"}).astype({"zone": str})
    zones: pd.DataFrame = frame.reindex(columns=list(ZONE_COLUMNS))
    return zones


def _check_places(file: Path, zones: pd.DataFrame) -> None:
    for name, limit in _DEGREES.items():
        outside = zones[zones[name].abs() > limit]
        if not outside.empty:
            row, worst = outside.index[0] + 1, outside.iloc[0]
            found = f"row {row} (zone {worst['LocationID']}): {name} {worst[name]}"
            raise DataRefused(str(file), f"{found}, expected {-limit} to {limit} degrees")
