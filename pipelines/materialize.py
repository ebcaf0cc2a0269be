"""Trips in, feature tables out; and from the tables the latest values to the online store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import pandas as pd
from tqdm import tqdm

from adapters.artifact_store import ZONES_FILE
from adapters.tables import read_zones
from contracts.errors import DataRefused, NotFound
from contracts.features import VIEWS
from contracts.local_time import DAY_S, local_time
from contracts.manifest import ModelManifest
from contracts.trips import CITY_TZ
from feature_repo.history import (
    EVENT_TIME,
    ended_trips,
    log_ratio_of,
    pair_history,
    pair_table,
    window_tables,
    zone_hour_table,
)
from feature_repo.history_files import history_of
from feature_repo.online import empty_online, mark_filled
from feature_repo.windows import MICRO
from pipelines.feature_tables import feature_tables
from pipelines.layout import Layout
from pipelines.lineage import hashes
from pipelines.live_history import drop_hours
from training.dataset import FeatureTable

BUILT_FROM: Final = "built_from.json"
_TRIP_COLUMNS = ["trip_id", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone", "duration_s"]
_WRITE_ROWS = 10_000
_WEEK_US = 7 * DAY_S * MICRO


def build(home: Path, progress: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Write home/features/<view>.parquet from home/data/{trips,zones}.parquet, whose hashes go to built_from.json.

    Each view appears whole, in place of the one before and of the live hours that it reaches into. Returns rows by
    view, trips and seconds. Raises NotFound where there are no trips, DataRefused where the file holds none, NotFound
    for a zone that the city does not have.
    """
    layout, began = Layout(home), time.monotonic()
    if not layout.trips.is_file():
        raise NotFound("trips file", str(layout.trips), "`tandem data` brings trips in")
    record, built_from = layout.features / BUILT_FROM, hashes([layout.trips, layout.zones])
    zones, clock = read_zones(layout.zones), local_time(CITY_TZ)
    ended = ended_trips(pd.read_parquet(layout.trips, columns=_TRIP_COLUMNS), zones, clock)
    if not len(ended.pickup):
        raise DataRefused(str(layout.trips), "has no trips to build features from")
    places = {view: layout.features / f"{view.name}.parquet" for view in VIEWS}
    with tqdm(total=4, desc="features", unit="step", disable=not progress) as bar, feature_tables(places) as tables:
        pairs = pair_history(ended)
        log_ratio = log_ratio_of(ended, pairs)
        bar.update()
        tables["pair_stats"].write(pair_table(pairs, clock))
        del pairs
        bar.update()
        tables["zone_hour_stats"].write(zone_hour_table(ended, log_ratio, clock))
        bar.update()
        for name, rows in window_tables(ended, log_ratio):
            tables[name].write(rows)
        bar.update()
        record.unlink(missing_ok=True)
    record.write_text(json.dumps(built_from, indent=2) + "\n")
    drop_hours(layout.features, int(ended.ended_us[-1]))
    rows_by_view = {name: table.rows for name, table in tables.items()}
    return {"trips": len(ended.pickup), "rows": rows_by_view, "seconds": round(time.monotonic() - began, 1)}


def tables(home: Path) -> list[FeatureTable]:
    """The tables that `build` wrote and what was served live since, for a point-in-time join."""
    return [FeatureTable(view, history_of(Layout(home).features, view.name)) for view in VIEWS]


def check_built_for(home: Path, manifest: ModelManifest) -> None:
    """Refuse to serve a version with the features of another city than its own.

    Later trips of the same city are welcome: that is how statistics stay fresh under a model. Raises DataRefused, or
    NotFound where nothing tells what the features were built from.
    """
    layout = Layout(home)
    record = layout.features / BUILT_FROM
    if not record.is_file():
        raise NotFound("record of the features' data", str(record), "`tandem train` builds the features")
    found, expected = json.loads(record.read_text()).get(layout.zones.name), manifest.files.get(ZONES_FILE)
    if found != expected:
        detail = f"built for zones with SHA-256 {found}, {manifest.name} was trained for {expected}"
        mend = "bring its data back with `tandem data` and run `tandem train`, or give the new city a home of its own"
        raise DataRefused(str(layout.features), f"{detail}; {mend}")


def materialize(
    home: Path,
    store: Any,
    as_of: datetime,
    *,
    anew: bool = True,
    written: Callable[[str, list[str]], None] = lambda _, __: None,
) -> dict[str, Any]:
    """Fill the online store with each key's latest values at `as_of` that are not over their view's TTL by then.

    What it held before goes: Feast keeps a row whose event time is not older, even where the data is another.

    A recording that ended more than a week before is served as though it had ended lately: its times move on by whole
    weeks, which keep the hours of the week in place.

    Args:
        home: TANDEM_HOME, with the tables of `build`.
        store: Feast's, from `open_store`.
        as_of: a moment with an offset.
        anew: whether the store is emptied first; False where it has lost its rows, and others write to it already.
        written: told the entity and the keys of rows, some at a time, once they are there.

    Returns:
        Rows written by view, days that the recording was moved on by, seconds. Raises NotFound without tables.

    """
    began, now_us = time.monotonic(), round(as_of.timestamp() * MICRO)
    # Without what was served live: the stream writes that itself, and a recording moves on by its own last times.
    sources = [FeatureTable(view, Layout(home).features / f"{view.name}.parquet") for view in VIEWS]
    missing = [table.path for table in sources if not table.path.is_file()]
    if missing:
        raise NotFound("feature table", str(missing[0]), "`tandem train` builds the features")
    with duckdb.connect() as connection:
        ended_us = max(_last_event_us(connection, table) for table in sources)
        shift_us = max(now_us - ended_us, 0) // _WEEK_US * _WEEK_US
        if anew:
            empty_online(store)
        counts = {}
        for table in sources:
            latest = _latest(connection, table, now_us - shift_us)
            latest[EVENT_TIME] = latest[EVENT_TIME].dt.tz_convert("UTC") + pd.Timedelta(shift_us, unit="us")
            for start in range(0, len(latest), _WRITE_ROWS):
                some = latest.iloc[start : start + _WRITE_ROWS]
                store.write_to_online_store(table.view.name, some)
                written(table.view.entity, some[table.view.entity].tolist())
            counts[table.view.name] = len(latest)
        mark_filled(store)
    days = shift_us // (DAY_S * MICRO)
    return {"rows": counts, "shifted_days": days, "seconds": round(time.monotonic() - began, 1)}


def _last_event_us(connection: duckdb.DuckDBPyConnection, table: FeatureTable) -> int:
    query = f"SELECT coalesce(max(epoch_us({EVENT_TIME})), 0) FROM read_parquet(?)"  # noqa: S608 - our own name
    return int(connection.execute(query, [str(table.path)]).fetchall()[0][0])


def _latest(connection: duckdb.DuckDBPyConnection, table: FeatureTable, now_us: int) -> pd.DataFrame:
    oldest_us = now_us - round(table.view.ttl_s * MICRO)
    query = (
        f"SELECT * FROM read_parquet(?) WHERE epoch_us({EVENT_TIME}) BETWEEN ? AND ?"  # noqa: S608 - our own names
        f' QUALIFY row_number() OVER (PARTITION BY "{table.view.entity}" ORDER BY {EVENT_TIME} DESC) = 1'
    )
    latest: pd.DataFrame = connection.execute(query, [str(table.path), oldest_us, now_us]).df()
    return latest
