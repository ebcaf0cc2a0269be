"""The trip frame and the zones as Parquet files: atomic, in the contract's schema, the same bytes each time."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.trips import SOURCE_KEY, TRIP_COLUMNS, ZONE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd

_TIMES = {"timestamp[us, tz=UTC]": pa.timestamp("us", tz="UTC")}


@contextmanager
def trips_writer(path: Path, source: str) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Give a function that appends trip frames to the file, which appears when all of it is written.

    Args:
        path: the Parquet file; one of that name is replaced.
        source: where the rows come from, in words; kept under `tandem.source` in the schema's metadata.

    """
    schema = _schema(TRIP_COLUMNS, source)
    with _replacing(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        yield lambda frame: writer.write_table(_table(frame, schema))


def write_zones(path: Path, zones: pd.DataFrame, source: str) -> None:
    """Write zones.parquet, columns as in `contracts.trips.ZONE_COLUMNS`."""
    schema = _schema(ZONE_COLUMNS, source)
    with _replacing(path) as partial:
        pq.write_table(_table(zones, schema), partial, compression="zstd")


def file_sha256(path: Path) -> str:
    """Hash a file's bytes, as hex digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _schema(columns: dict[str, str], source: str) -> Any:
    fields = [(name, _TIMES.get(kind) or pa.type_for_alias(kind)) for name, kind in columns.items()]
    return pa.schema(fields, metadata={SOURCE_KEY: source})


def _table(frame: pd.DataFrame, schema: Any) -> Any:
    # Not NaN to null: an unknown coordinate is NaN in the contract. Pandas' own metadata would carry its version.
    arrays = [
        pa.array(frame[field.name], type=field.type, from_pandas=pa.types.is_string(field.type)) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
