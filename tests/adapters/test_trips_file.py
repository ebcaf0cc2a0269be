"""Trip files have the contract's schema, say where they come from, and appear whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq
import pytest

from adapters.trips_file import file_sha256, trips_writer
from contracts.trips import SOURCE_KEY, TRIP_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def trips() -> pd.DataFrame:
    """One trip whose coordinates and distance are not known."""
    start = pd.Timestamp("2020-11-02 13:00", tz="UTC")
    row = {"trip_id": "a", "pickup_at": start, "dropoff_at": start + pd.Timedelta(600, "s"), "duration_s": 600.0}
    return pd.DataFrame([row | {"pickup_zone": "74", "dropoff_zone": "7"}]).reindex(columns=list(TRIP_COLUMNS))


def test_schema_and_source(trips: pd.DataFrame, tmp_path: Path) -> None:
    """Types are the contract's, unknown numbers are NaN, the source stands in the metadata."""
    path = tmp_path / "data" / "trips.parquet"
    with trips_writer(path, "told by a test") as append:
        append(trips)
        append(trips)
    table = pq.read_table(path)
    assert {field.name: str(field.type) for field in table.schema} == TRIP_COLUMNS
    assert table.schema.metadata == {SOURCE_KEY.encode(): b"told by a test"}
    assert table.num_rows == 2
    assert table["pickup_lat"].null_count == 0


def test_same_rows_same_bytes(trips: pd.DataFrame, tmp_path: Path) -> None:
    """No time and no chance gets into the file."""
    for name in ("a", "b"):
        with trips_writer(tmp_path / name, "told by a test") as append:
            append(trips)
    assert file_sha256(tmp_path / "a") == file_sha256(tmp_path / "b")


def test_a_failure_leaves_the_old_file(trips: pd.DataFrame, tmp_path: Path) -> None:
    """Half-written files are not seen and not left behind."""
    path = tmp_path / "trips.parquet"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), trips_writer(path, "told by a test") as append:
        append(trips.drop(columns="pickup_at"))
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("trips.parquet", b"old")]
