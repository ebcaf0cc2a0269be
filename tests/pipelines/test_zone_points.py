"""Zones read by a process that ends: the same as read here, and what is wrong with a file is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapters.artifact_store import ZONES_FILE, ArtifactStore
from adapters.tables import read_polygons, read_zones
from contracts.errors import DataRefused, NotFound
from pipelines.layout import Layout
from pipelines.zone_points import read_zone_rows, served_zones
from tests.fakes import tiny_artifact, write_tiny_zones


def test_they_are_the_files_own(tmp_path: Path) -> None:
    """Ids, points and outlines."""
    path = tmp_path / "zones.parquet"
    write_tiny_zones(path)
    rows, zones = read_zone_rows(path), read_zones(path)
    assert (rows.zones().ids, rows.names, rows.boroughs) == (zones.ids, list(zones.names), list(zones.boroughs))
    np.testing.assert_array_equal(rows.zones().lat, zones.lat)
    np.testing.assert_array_equal(rows.zones().lon, zones.lon)
    assert rows.polygons == read_polygons(path)


def test_a_file_that_is_none_is_named_with_the_reason(tmp_path: Path) -> None:
    """In one line."""
    path = tmp_path / "zones.parquet"
    path.write_text("no Parquet")
    with pytest.raises(DataRefused, match=r"zones\.parquet: .+") as caught:
        read_zone_rows(path)
    assert "\n" not in str(caught.value)


def test_a_homes_zones_are_its_datas_or_its_newest_versions(tmp_path: Path) -> None:
    """And a home without either says how it comes by them."""
    with pytest.raises(NotFound, match="`tandem data` brings it in"):
        served_zones(tmp_path)
    store = ArtifactStore(Layout(tmp_path).artifacts)
    for version in (1, 2):
        store.publish(tiny_artifact(tmp_path / f"made-{version}", version=version))
    assert served_zones(tmp_path) == store.path("eta", 2) / ZONES_FILE
    Layout(tmp_path).zones.parent.mkdir()
    write_tiny_zones(Layout(tmp_path).zones)
    assert served_zones(tmp_path) == Layout(tmp_path).zones
