"""Reads the online rows of Feast's SQLite store: a table a view, a row a feature."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from adapters.feast_encoding import PROJECT, decode_double, entity_key
from adapters.online_store import RowLayout, Wanted
from contracts.errors import Unavailable
from contracts.schema import Floats, ViewSpec


class SqliteOnlineStore:
    """For small set-ups and tests; the reads run on a thread."""

    def __init__(self, path: Path, views: Sequence[ViewSpec]) -> None:
        self._path = path
        self._layout = RowLayout(views)

    async def read(self, wanted: Wanted) -> Floats:
        """See OnlineStore."""
        distinct = {one: i for i, one in enumerate(dict.fromkeys(wanted))}
        try:
            rows = await asyncio.to_thread(self._read, list(distinct))
        except sqlite3.Error as error:
            raise Unavailable("online store", "features_unavailable", str(error)) from error
        return rows[[distinct[one] for one in wanted]]

    async def close(self) -> None:
        """See OnlineStore."""

    def _read(self, wanted: Wanted) -> Floats:
        rows = np.full((len(wanted), self._layout.width), np.nan)
        with sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True) as connection:
            for entity, views in self._layout.views.items():
                places = {entity_key(entity, key): i for i, (of, key) in enumerate(wanted) if of == entity}
                for view in views if places else ():
                    self._fill(connection, view, places, rows)
        connection.close()
        return rows

    def _fill(self, connection: sqlite3.Connection, view: ViewSpec, places: dict[bytes, int], rows: Floats) -> None:
        offset = self._layout.offsets[view.name]
        columns = {name: offset + 1 + i for i, name in enumerate(view.features)}
        marks = ",".join("?" * len(places))
        # The table's name is a contract's, not a caller's; SQL has no placeholder for it.
        query = f'SELECT entity_key, feature_name, value, event_ts FROM "{PROJECT}_{view.name}" WHERE entity_key IN ({marks})'  # noqa: S608, E501
        for key, name, value, event_time in connection.execute(query, list(places)):
            row = rows[places[bytes(key)]]
            row[offset] = _parse_time(event_time)
            if name in columns:
                row[columns[name]] = decode_double(value)


def _parse_time(value: str | float) -> float:
    if isinstance(value, int | float):
        return float(value)
    moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
