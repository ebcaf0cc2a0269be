"""The training set: for each trip the features as they were known when it started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd

from contracts.errors import SchemaMismatch
from contracts.features import ETA_SCHEMA, LIVE_VIEWS, LONG_VIEWS, LOOKED_UP, LOOKUPS, VIEWS
from contracts.schema import Floats, Lookup, Matrix, ViewSpec
from contracts.transforms import trip_keys, trip_vectors
from contracts.zones import Zones

EVENT_TIME: Final = "event_timestamp"
_MICRO: Final = 1e6
_ROWS_AT_ONCE: Final = 50_000

MASKED_SHARE: Final = 0.1
"""Share of the rows learned from that lose live values, a third each: the short views, the long ones, both."""

_FEATURES_OF: Final = {view.name: view.features for view in VIEWS}
_VIEW_OF: Final = {f"{one.role}.{name}": one.view for one in LOOKUPS for name in _FEATURES_OF[one.view]}


@dataclass(frozen=True)
class FeatureTable:
    """The history of a view: a Parquet file of key, event_timestamp (UTC) and features."""

    view: ViewSpec
    path: Path


def point_in_time_join(
    trips: pd.DataFrame, tables: Sequence[FeatureTable], lookups: Sequence[Lookup] = LOOKUPS
) -> pd.DataFrame:
    """Look every trip's features up as of its start, never later.

    A row holds from its event time for the view's TTL, as online; without one the columns are NaN.

    Args:
        trips: a canonical trip frame, or its columns pickup_at, pickup_zone and dropoff_zone.
        tables: the views' histories.
        lookups: what is read for a trip.

    Returns:
        float64 columns ``role.feature``, one row a trip in the order of the trips.

    Raises:
        SchemaMismatch: a view that is looked up has no table, or the join did not return each trip once.

    """
    by_view = {table.view.name: table for table in tables}
    at_us = _epoch_us(trips["pickup_at"])
    keys = trip_keys(trips["pickup_zone"].tolist(), trips["dropoff_zone"].tolist(), at_us / _MICRO)
    columns: dict[str, Floats] = {}
    with duckdb.connect() as connection:
        for lookup in lookups:
            if lookup.view not in by_view:
                raise SchemaMismatch("feature tables", f"no {lookup.view!r}", "one for every view that is looked up")
            table = by_view[lookup.view]
            asked = pd.DataFrame({"trip": np.arange(len(trips)), "key": keys[lookup.role], "at_us": at_us})
            for name, values in _as_of(connection, asked, table).items():
                columns[f"{lookup.role}.{name}"] = values
    return pd.DataFrame(columns, copy=False)


def trip_matrix(trips: pd.DataFrame, looked_up: pd.DataFrame, zones: Zones) -> Matrix:
    """The vectors float32 [n, F] of trips and their looked-up columns, by the transforms that serving uses."""
    pickup, dropoff = zones.positions(trips["pickup_zone"]), zones.positions(trips["dropoff_zone"])
    at, columns = epoch_s(trips["pickup_at"]), [looked_up[name].to_numpy() for name in LOOKED_UP]
    matrix = np.empty((len(trips), len(ETA_SCHEMA.features)), dtype=np.float32)
    for start in range(0, len(trips), _ROWS_AT_ONCE):  # all rows of millions of trips would be gigabytes
        some = slice(start, start + _ROWS_AT_ONCE)
        values = np.array([column[some] for column in columns])
        matrix[some] = trip_vectors(zones, pickup[some], dropoff[some], at[some], values)
    return matrix


def mask_live(looked_up: pd.DataFrame, *, seed: int, share: float = MASKED_SHARE) -> pd.DataFrame:
    """A copy in which a seeded share of the rows has no live values, so that a model knows a stale store."""
    kinds = (LIVE_VIEWS, LONG_VIEWS, (*LIVE_VIEWS, *LONG_VIEWS))
    draw = np.random.default_rng(seed).random(len(looked_up))
    kind = np.searchsorted(share * np.arange(1, len(kinds) + 1) / len(kinds), draw, side="right")
    columns = {}
    for name in looked_up.columns:
        gone = np.array([*(_VIEW_OF[name] in views for views in kinds), False])
        columns[name] = np.where(gone[kind], np.nan, looked_up[name]) if gone.any() else looked_up[name].to_numpy()
    return pd.DataFrame(columns, index=looked_up.index, copy=False)


def epoch_s(times: pd.Series[pd.Timestamp]) -> Floats:
    """Epoch seconds of UTC times."""
    return _epoch_us(times) / _MICRO


def _epoch_us(times: pd.Series[pd.Timestamp]) -> npt.NDArray[np.int64]:
    return times.dt.as_unit("us").to_numpy(dtype=np.int64)


def _as_of(connection: duckdb.DuckDBPyConnection, asked: pd.DataFrame, table: FeatureTable) -> dict[str, Floats]:
    """The latest row of each key at or before `at_us`, where it is within the TTL; every column [n] float64."""
    view = table.view
    features = ", ".join(f'"{name}"' for name in view.features)
    kept = ", ".join(
        f'CASE WHEN asked.at_us - known_us <= {round(view.ttl_s * _MICRO)} AND "{name}" IS NOT NULL'
        f' THEN "{name}" ELSE \'nan\'::DOUBLE END AS "{name}"'
        for name in view.features
    )
    # Names are the contract's own, not a caller's; SQL has no placeholder for them.
    history = (
        f'SELECT "{view.entity}" AS key, epoch_us({EVENT_TIME}) AS known_us, {features} FROM read_parquet(?)'  # noqa: S608
        f" WHERE epoch_us({EVENT_TIME}) BETWEEN ? AND ?"  # what no trip can see needs no sorting
    )
    query = (
        f"SELECT asked.trip, {kept} FROM asked ASOF LEFT JOIN ({history}) AS history"  # noqa: S608
        " ON asked.key = history.key AND asked.at_us >= history.known_us"
    )
    connection.register("asked", asked)
    at_us = asked["at_us"].to_numpy()
    oldest_us = int(at_us.min(initial=at_us.max(initial=0))) - round(view.ttl_s * _MICRO)
    found = connection.execute(query, [str(table.path), oldest_us, int(at_us.max(initial=0))]).fetchnumpy()
    trip = found.pop("trip")
    if len(trip) != len(asked):
        raise SchemaMismatch(f"join with {view.name}", f"{len(trip)} rows", f"{len(asked)}, one a trip")
    order = np.argsort(trip)
    return {name: values[order] for name, values in found.items()}
