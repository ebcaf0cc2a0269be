"""Requests to label as a Parquet file, read a range of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import local
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adapters.trips_file import read_schema
from contracts.errors import DataRefused, SchemaMismatch
from contracts.local_time import Ints
from contracts.schema import Floats

# What a request is called in a file of requests, and in the canonical trip frame.
_NAMES: Final = {"id": ("id", "trip_id"), "at": ("at", "pickup_at")}
_ZONES: Final = ("pickup_zone", "dropoff_zone")
RECORDED: Final = "duration_s"


@dataclass(frozen=True)
class Requests:
    """Rows of a file: ids, zones and starts in µs; the recorded seconds, NaN where there are none."""

    ids: list[str]
    pickup_zone: list[str]
    dropoff_zone: list[str]
    at_us: Ints
    recorded_s: Floats


class RequestsFile:
    """A file of requests, or of trips: id (or trip_id), at (or pickup_at), zones, and duration_s where known.

    Raises NotFound, DataRefused for a file that is no Parquet or has no rows, SchemaMismatch for a missing column.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        schema = read_schema(path)
        self._columns = {}
        for column, names in _NAMES.items():
            found = [name for name in names if name in schema.names]
            if not found:
                raise SchemaMismatch(str(path), f"no {' or '.join(names)}", "a column of that name for each request")
            self._columns[column] = found[0]
        if missing := [name for name in _ZONES if name not in schema.names]:
            raise SchemaMismatch(str(path), f"no {', '.join(missing)}", f"the columns {', '.join(_ZONES)}")
        if not pa.types.is_timestamp(kind := schema.field(self._columns["at"]).type) or kind.tz is None:
            raise SchemaMismatch(f"{path}, column {self._columns['at']}", str(kind), "times with an offset")
        self._recorded = RECORDED in schema.names
        self._open = local()
        if not self.rows:
            raise DataRefused(str(path), "has no rows")

    @cached_property
    def rows(self) -> int:
        """How many there are."""
        return int(pq.ParquetFile(self.path).metadata.num_rows)

    def rows_from(self, start: int, rows: int) -> int:
        """How many of so many rows from a row on there are."""
        return max(min(rows, self.rows - start), 0)

    @cached_property
    def span_us(self) -> tuple[int, int]:
        """First and last start, reading a row group at a time."""
        first, last, name = np.iinfo(np.int64).max, np.iinfo(np.int64).min, self._columns["at"]
        file = pq.ParquetFile(self.path)
        for group in range(file.num_row_groups):
            at_us = self._times(file.read_row_group(group, columns=[name])[name])
            if len(at_us):
                first, last = min(first, int(at_us.min())), max(last, int(at_us.max()))
        return int(first), int(last)

    def read(self, start: int, rows: int) -> Requests:
        """So many rows from a row on; raises DataRefused for a value missing that each request has."""
        names = [*self._columns.values(), *_ZONES, *([RECORDED] if self._recorded else [])]
        table = self._range(start, rows, names)
        for name in (*self._columns.values(), *_ZONES):
            if table[name].null_count:
                row = start + int(np.flatnonzero(pc.is_null(table[name]).to_numpy())[0]) + 1
                raise DataRefused(str(self.path), f"row {row}: no {name}, which each request has")
        recorded = pc.cast(table[RECORDED], pa.float64()).to_numpy() if self._recorded else np.full(len(table), np.nan)
        return Requests(
            ids=_texts(table[self._columns["id"]]),
            pickup_zone=_texts(table["pickup_zone"]),
            dropoff_zone=_texts(table["dropoff_zone"]),
            at_us=self._times(table[self._columns["at"]]),
            recorded_s=np.asarray(recorded, dtype=np.float64),
        )

    def _range(self, start: int, rows: int, names: list[str]) -> Any:
        """Rows of the groups that hold them; the last group stays at hand, since the next part begins in it."""
        file = getattr(self._open, "file", None) or pq.ParquetFile(self.path)
        self._open.file = file
        counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        begins = np.concatenate([[0], np.cumsum(counts)])
        first, last = np.searchsorted(begins, [start, start + rows - 1], side="right") - 1
        groups = [self._group(file, int(group), names) for group in range(first, min(last, len(counts) - 1) + 1)]
        return pa.concat_tables(groups).slice(start - int(begins[first]), rows).combine_chunks()

    def _group(self, file: Any, group: int, names: list[str]) -> Any:
        held = getattr(self._open, "held", None)
        if held is None or held[0] != group:
            held = (group, file.read_row_group(group, columns=names))
            self._open.held = held
        return held[1]

    def __getstate__(self) -> dict[str, Any]:
        """Without what is open: another process opens its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As it was, with nothing open."""
        self.__dict__.update(state, _open=local())

    @staticmethod
    def _times(column: Any) -> npt.NDArray[np.int64]:
        at = pc.cast(column, pa.timestamp("us", tz="UTC"), safe=False)
        return np.asarray(pc.cast(at, pa.int64()).to_numpy(), dtype=np.int64)


def _texts(column: Any) -> list[str]:
    """Ids and zones as text; whole numbers are a usual way to write them."""
    texts: list[str] = pc.cast(column, pa.string()).to_pylist()
    return texts
