"""Looked-up columns of any number of requests, from the views' histories in memory: what a stream of parts needs.

The join of `training.dataset` sorts a history for every call. Here it is sorted once, by key and time, and each part of
a few ten thousand requests is found in it by bisection. Both give the same columns, bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

from contracts.errors import SchemaMismatch
from contracts.features import ANY, LOOKED_UP, LOOKUPS
from contracts.local_time import HOURS_A_WEEK, Ints, hour_of_week, local_time
from contracts.schema import Floats
from contracts.trips import CITY_TZ
from contracts.zones import Positions, Zones
from training.dataset import EVENT_TIME, FeatureTable

_MICRO: Final = 1_000_000
_ROWS_AT_ONCE: Final = 250_000


@dataclass(frozen=True)
class _History:
    """Rows of a view by (key, time): `keys` [m] are code * span + seconds, `rows` float64 [m, features]."""

    keys: Ints
    rows: Floats
    ttl_us: int
    widths: int


class AsOf:
    """The views' rows that requests from `first_us` to `last_us` can see."""

    def __init__(self, tables: Sequence[FeatureTable], zones: Zones, *, first_us: int, last_us: int) -> None:
        self._zones = zones
        self._last_us = last_us
        by_view = {table.view.name: table for table in tables}
        if missing := [one.view for one in LOOKUPS if one.view not in by_view]:
            raise SchemaMismatch("feature tables", f"no {missing[0]!r}", "one for every view that is looked up")
        with duckdb.connect() as connection:
            # Rows are stamped with steps of a grid, so that whole seconds are exact and decades fit into a key.
            self._oldest_s = min(_oldest(connection, table) for table in tables) // _MICRO
            self._span = max(last_us // _MICRO - self._oldest_s, 0) + 2
            self._views = {name: self._load(connection, table, first_us) for name, table in by_view.items()}

    @property
    def nbytes(self) -> int:
        """Memory that the histories take."""
        return sum(one.keys.nbytes + one.rows.nbytes for one in self._views.values())

    def look_up(self, pickup: Positions, dropoff: Positions, at_us: Ints) -> tuple[Floats, Ints]:
        """Columns [`LOOKED_UP`, n] as of starts [n] in µs, and when the newest row used became known (0: none was)."""
        wide = len(self._zones.ids) + 1
        anywhere = np.full(len(at_us), wide - 1, dtype=np.int64)
        hour = hour_of_week(local_time(CITY_TZ).seconds(at_us / _MICRO))
        codes: dict[str, Ints] = {
            "city": np.zeros(len(at_us), dtype=np.int64),
            "pickup": pickup,
            "dropoff": dropoff,
            "pair": pickup * wide + dropoff,
            "reverse": dropoff * wide + pickup,
            "outbound": pickup * wide + anywhere,
            "inbound": anywhere * wide + dropoff,
            "city_hour": anywhere * HOURS_A_WEEK + hour,
            "pickup_hour": pickup * HOURS_A_WEEK + hour,
            "dropoff_hour": dropoff * HOURS_A_WEEK + hour,
        }
        columns = np.empty((len(LOOKED_UP), len(at_us)))
        newest, at = np.zeros(len(at_us), dtype=np.int64), 0
        for lookup in LOOKUPS:
            history = self._views[lookup.view]
            place, known_us = self._find(history, codes[lookup.role], at_us)
            rows = columns[at : at + history.widths]
            rows[:] = np.nan
            found = np.flatnonzero(place >= 0)
            rows[:, found] = history.rows[place[found]].T
            np.maximum(newest, known_us, out=newest)
            at += history.widths
        return columns, newest

    def _find(self, history: _History, code: Ints, at_us: Ints) -> tuple[npt.NDArray[np.intp], Ints]:
        """Places of the rows in force, -1 where there is none that young; and their times, 0 there."""
        if not len(history.keys):
            return np.full(len(code), -1, dtype=np.intp), np.zeros(len(code), dtype=np.int64)
        base = code.astype(np.int64) * self._span
        key = base + np.clip(at_us // _MICRO - self._oldest_s, -1, self._span - 1)
        order = np.argsort(key)  # ordered needles are found sooner
        place = np.empty(len(key), dtype=np.intp)
        place[order] = np.searchsorted(history.keys, key[order], side="right") - 1
        since = history.keys[np.maximum(place, 0)] - base
        known_us = (since + self._oldest_s) * _MICRO
        there = (place >= 0) & (since >= 0) & (at_us - known_us <= history.ttl_us)
        return np.where(there, place, -1), np.where(there, known_us, 0)

    def _load(self, connection: duckdb.DuckDBPyConnection, table: FeatureTable, first_us: int) -> _History:
        view, ttl_us = table.view, round(table.view.ttl_s * _MICRO)
        features = ", ".join(f"coalesce(\"{name}\", 'nan'::DOUBLE)" for name in view.features)
        # Names are the contract's own, not a caller's; with placeholders the whole result would lie in memory twice.
        file = str(table.path).replace("'", "''")
        seen = (
            f"FROM read_parquet('{file}') WHERE epoch_us({EVENT_TIME}) BETWEEN {first_us - ttl_us} AND {self._last_us}"
        )
        count = int(connection.execute(f"SELECT count(*) {seen}").fetchall()[0][0])
        # Filled in place: a history may be a third of all the memory there is.
        keys, rows, at = np.empty(count, dtype=np.int64), np.empty((count, len(view.features))), 0
        query = f'SELECT "{view.entity}", epoch_us({EVENT_TIME}), {features} {seen}'
        for batch in connection.sql(query).to_arrow_reader(_ROWS_AT_ONCE):
            names, here = batch.column(0).dictionary_encode(), slice(at, at + batch.num_rows)
            codes = np.array([self._code(view.entity, one) for one in names.dictionary.to_pylist()], dtype=np.int64)
            if batch.num_rows:
                known_s = -(-batch.column(1).to_numpy() // _MICRO) - self._oldest_s
                keys[here] = codes[names.indices.to_numpy()] * self._span + known_s
            for i, column in enumerate(batch.columns[2:]):
                rows[here, i] = column.to_numpy(zero_copy_only=False)
            at += batch.num_rows
        if (keys[1:] < keys[:-1]).any():  # what `build` writes is in order
            order = np.argsort(keys, kind="stable")
            keys, rows = keys[order], rows[order]
        return _History(keys, rows, ttl_us, len(view.features))

    def _code(self, entity: str, key: str) -> int:
        """The number of a store's key."""
        wide = len(self._zones.ids) + 1
        if entity == "city":
            return 0
        if entity == "zone":
            return self._place(key)
        if entity == "pair":
            start, _, end = key.partition(">")
            return self._place(start) * wide + self._place(end)
        zone, _, hour = key.partition("|")
        return self._place(zone) * HOURS_A_WEEK + int(hour)

    def _place(self, zone: str) -> int:
        return len(self._zones.ids) if zone == ANY else self._zones.index[zone]


def _oldest(connection: duckdb.DuckDBPyConnection, table: FeatureTable) -> int:
    query = f"SELECT coalesce(min(epoch_us({EVENT_TIME})), 0) FROM read_parquet(?)"  # noqa: S608 - our own name
    return int(connection.execute(query, [str(table.path)]).fetchall()[0][0])
