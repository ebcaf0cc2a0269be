"""The trip frame and the zones as Parquet files: written whole, the same bytes each time; read by the contract only."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import DataRefused, NotFound, SchemaMismatch
from contracts.trips import SOURCE_KEY, TRIP_COLUMNS, ZONE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

_TIMES = {"timestamp[us, tz=UTC]": pa.timestamp("us", tz="UTC")}
_WORDS: Final = {"string": "text", "double": "numbers", "timestamp[us, tz=UTC]": "times in UTC"}
_MAY_BE_UNKNOWN: Final = frozenset({"pickup_lat", "pickup_lon", "dropoff_lat", "dropoff_lon", "distance_km"})


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


def read_trips(file: Path) -> pd.DataFrame:
    """Read a canonical trip frame in the file's order.

    Raises:
        NotFound: there is no such file.
        SchemaMismatch: a column is missing or of another kind; names the file, the column, what it is.
        DataRefused: not Parquet, damaged, no rows, a value missing that each trip has, or a trip_id that repeats.

    """
    present = read_schema(file)
    if missing := [name for name in TRIP_COLUMNS if name not in present.names]:
        raise SchemaMismatch(str(file), f"no {', '.join(missing)}", f"the columns {', '.join(TRIP_COLUMNS)}")
    for name, kind in TRIP_COLUMNS.items():
        if not _fits(present.field(name).type, kind):
            raise SchemaMismatch(f"{file}, column {name}", str(present.field(name).type), _WORDS[kind])
    trips = read_columns(file, list(TRIP_COLUMNS))
    if trips.empty:
        raise DataRefused(str(file), "has no rows")
    for name, kind in TRIP_COLUMNS.items():
        absent = trips[name].isna()
        if name not in _MAY_BE_UNKNOWN and absent.any():
            raise DataRefused(str(file), f"row {int(absent.argmax()) + 1}: no {name}, which each trip has")
        if kind in _TIMES:
            trips[name] = trips[name].dt.tz_convert("UTC").dt.as_unit("us")
        elif kind == "double":
            trips[name] = trips[name].astype("float64")
    repeats = trips["trip_id"].duplicated()
    if repeats.any():
        row = int(repeats.argmax())
        raise DataRefused(str(file), f"row {row + 1}: trip_id {trips['trip_id'].iloc[row]!r} repeats")
    return trips


def read_schema(file: Path) -> Any:
    """Columns and types of a Parquet file; raises NotFound, and DataRefused for a file that is none."""
    if not file.is_file():
        raise NotFound("file", str(file))
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise DataRefused(str(file), f"not a Parquet file ({error})") from error


def read_columns(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a Parquet file; raises DataRefused where it is damaged."""
    try:
        frame: pd.DataFrame = pq.read_table(file, columns=list(columns)).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataRefused(str(file), f"can't be read, maybe damaged ({error})") from error
    return frame


def _fits(found: Any, kind: str) -> bool:
    types = pa.types
    if kind == "string":
        return bool(types.is_string(found) or types.is_large_string(found))
    if kind == "double":
        return bool(types.is_integer(found) or types.is_floating(found))
    return bool(types.is_timestamp(found) and found.tz is not None)


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
