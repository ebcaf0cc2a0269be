"""Tables come back bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from adapters.tables import (
    Golden,
    read_golden,
    read_heuristic,
    read_polygons,
    read_zones,
    write_golden,
    write_heuristic,
)
from adapters.trips_file import write_zones
from contracts.errors import DataRefused, NotFound, SchemaMismatch
from contracts.heuristic import PairMedian


def test_heuristic_comes_back(tmp_path: Path) -> None:
    """From the path and from the bytes, the same numbers; the same heuristic is the same file."""
    heuristic = PairMedian({"74>138": 1234.5, "1>2": 1 / 3}, np.linspace(3, 6, 24), 0.7, 1.4)
    write_heuristic(tmp_path / "a.parquet", heuristic)
    write_heuristic(tmp_path / "b.parquet", heuristic)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    for source in (tmp_path / "a.parquet", (tmp_path / "a.parquet").read_bytes()):
        found = read_heuristic(source)
        assert found.median_s == heuristic.median_s
        assert (found.low_factor, found.high_factor) == (0.7, 1.4)
        np.testing.assert_array_equal(found.speed_mps, heuristic.speed_mps)


def test_heuristic_without_an_hour_is_refused(tmp_path: Path) -> None:
    """A speed for each hour, both factors."""
    write_heuristic(tmp_path / "h.parquet", PairMedian({}, np.ones(24), 0.7, 1.4))
    table = pq.read_table(tmp_path / "h.parquet")
    pq.write_table(table.slice(1), tmp_path / "h.parquet")
    with pytest.raises(SchemaMismatch, match="heuristic's speed rows"):
        read_heuristic(tmp_path / "h.parquet")


def test_golden_rows_come_back_with_their_nans(tmp_path: Path) -> None:
    """And only for the schema that they were made for."""
    matrix = np.array([[1.5, np.nan], [np.float32(1e30), -0.0]], dtype=np.float32)
    golden = Golden(matrix, *(np.array([n, 1 / 3], dtype=np.float32) for n in (1.0, 2.0, 3.0)))
    write_golden(tmp_path / "g.parquet", golden, ("a", "b"))
    found = read_golden((tmp_path / "g.parquet").read_bytes(), ("a", "b"))
    np.testing.assert_array_equal(found.matrix, matrix)
    np.testing.assert_array_equal(found.high_s, golden.high_s)
    assert found.matrix.dtype == found.eta_s.dtype == np.float32
    with pytest.raises(SchemaMismatch, match=r"\['a', 'b'\], expected \['b', 'a'\]"):
        read_golden(tmp_path / "g.parquet", ("b", "a"))


def test_zones_come_back_in_order(tmp_path: Path) -> None:
    """Polygons apart, null where there is none."""
    frame = pd.DataFrame(
        {
            "zone": ["7", "1"],
            "name": ["Astoria", "Newark"],
            "borough": ["Queens", "EWR"],
            "lat": [40.7, 40.6],
            "lon": [-73.9, -74.1],
            "polygon": ["POLYGON ((0 0, 0 1, 1 1, 0 0))", None],
        }
    )
    write_zones(tmp_path / "zones.parquet", frame, "a test")
    zones = read_zones(tmp_path / "zones.parquet")
    assert zones.ids == ("7", "1")
    assert zones.boroughs == ("Queens", "EWR")
    assert list(zones.lat) == [40.7, 40.6]
    assert read_polygons(tmp_path / "zones.parquet") == ["POLYGON ((0 0, 0 1, 1 1, 0 0))", None]


def test_a_missing_or_damaged_table_is_said(tmp_path: Path) -> None:
    """With its path, or with what it should have been."""
    with pytest.raises(NotFound, match=r"file of zones '.*zones\.parquet' not found; `tandem data`"):
        read_zones(tmp_path / "zones.parquet")
    with pytest.raises(DataRefused, match="heuristic: not a Parquet file, or damaged"):
        read_heuristic(b"root:x:0:0")
