"""Build and materialize over a small home: what was known offline is what is read online."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from adapters.artifact_store import ZONES_FILE
from adapters.online_store import RowLayout
from adapters.sqlite_online_store import SqliteOnlineStore
from adapters.trips_file import file_sha256, trips_writer, write_zones
from contracts.errors import DataRefused, NotFound
from contracts.features import LOOKUPS, VIEWS
from contracts.schema import Floats
from contracts.transforms import trip_keys
from feature_repo.store import open_store
from pipelines.layout import Layout
from pipelines.materialize import BUILT_FROM, build, check_built_for, materialize, tables
from serving.cache import Key
from serving.cached_rows import Found
from serving.features import FeatureReader
from tests.fakes import tiny_artifact
from tests.some_trips import ZONES, some_trips, zone_frame
from training.dataset import point_in_time_join

WIDTH = RowLayout(VIEWS).width


class _Rows:
    """The online store without a cache or a deadline."""

    def __init__(self, home: Path) -> None:
        self._store = SqliteOnlineStore(home / "feast" / "online_store.db", VIEWS)

    def lookup(self, keys: Sequence[Key]) -> Found:
        """Nothing is at hand."""
        return Found(np.full((len(keys), WIDTH), np.nan), list(range(len(keys))))

    async def fetch(self, keys: Sequence[Key], found: Found, within_s: float = 0.0) -> Floats:  # noqa: ARG002
        """Rows as they are."""
        found.rows[:] = await self._store.read(keys)
        return found.rows


def _home(folder: Path, trips: pd.DataFrame) -> Path:
    layout = Layout(folder)
    with trips_writer(layout.trips, "drawn for a test") as write:
        write(trips)
    write_zones(layout.zones, zone_frame(ZONES), "drawn for a test")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose features are built, of ten busy days."""
    home = _home(tmp_path_factory.mktemp("home"), some_trips(3000, days=10))
    build(home)
    return home


@pytest.fixture(scope="module")
def store(home: Path) -> Any:
    """Feast over SQLite."""
    return open_store(home, redis_url=None)


def test_build_writes_every_view_and_counts_its_rows(tmp_path: Path) -> None:
    """Every view has its file in the contract's columns; the same trips give the same rows."""
    home = _home(tmp_path, some_trips(300, days=3))
    summary = build(home)
    first = {view.name: pq.read_table(Layout(home).features / f"{view.name}.parquet") for view in VIEWS}
    assert summary["trips"] == 300
    assert summary["rows"] == {name: table.num_rows for name, table in first.items()}
    for view in VIEWS:
        assert first[view.name].column_names == [view.entity, "event_timestamp", *view.features]
    build(home)
    again = {view.name: pq.read_table(Layout(home).features / f"{view.name}.parquet") for view in VIEWS}
    assert all(first[name].to_pandas().equals(again[name].to_pandas()) for name in first)
    assert not list(Layout(home).features.glob(".*"))


def test_no_trips_are_named(tmp_path: Path) -> None:
    """Neither a missing nor an empty trips file gives features."""
    with pytest.raises(NotFound, match=r"trips\.parquet"):
        build(tmp_path)
    with pytest.raises(DataRefused, match="no trips"):
        build(_home(tmp_path, some_trips(1, days=1).iloc[:0]))


def test_no_trip_sees_itself_or_what_comes_after(home: Path, tmp_path: Path) -> None:
    """Whatever the durations of the trips that start from a moment on, the features up to that moment stay the same."""
    trips = pd.read_parquet(Layout(home).trips)
    moment = trips["pickup_at"].iloc[2000]
    later = trips["pickup_at"] >= moment
    changed = trips.copy()
    changed.loc[later, "duration_s"] = 60.0 + (changed.loc[later, "duration_s"] * 7.3) % 7000
    changed["dropoff_at"] = changed["pickup_at"] + pd.to_timedelta(changed["duration_s"], unit="s")
    build(_home(tmp_path, changed))
    asked = trips[trips["pickup_at"] <= moment]
    before, after = (point_in_time_join(asked, tables(folder)) for folder in (home, tmp_path))
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_what_is_read_online_is_what_a_join_finds(home: Path, store: Any) -> None:
    """At the moment of materialization, serving's columns equal the training join's, absent ones too."""
    ended = pd.read_parquet(Layout(home).trips, columns=["dropoff_at"])["dropoff_at"].max()
    now = ended.to_pydatetime().replace(microsecond=0)
    materialize(home, store, now)
    pickup, dropoff = ["4", "74", "138", "12"], ["138", "74", "4", "12"]
    at = np.full(4, now.timestamp())
    reader = FeatureReader(_Rows(home), VIEWS, LOOKUPS, future_skew_s=1.0)
    found = asyncio.run(reader.read(trip_keys(pickup, dropoff, at), at, now.timestamp()))
    online = dict(zip(reader.names, found.values, strict=True))
    asked = pd.DataFrame({"pickup_at": pd.Series([now] * 4), "pickup_zone": pickup, "dropoff_zone": dropoff})
    offline = point_in_time_join(asked, tables(home))
    assert set(online) == set(offline.columns)
    for name, values in online.items():
        np.testing.assert_array_equal(values, offline[name], err_msg=name)
    assert not np.isnan(online["city.log_ratio_60m"]).any()
    assert not np.isnan(online["pickup.count_7d"]).any()


def test_a_recording_is_moved_on_by_whole_weeks(home: Path, store: Any) -> None:
    """Long after it ended, statistics are served with times moved on, and live values are left out as stale."""
    summary = materialize(home, store, datetime(2026, 3, 4, 12, tzinfo=UTC))
    assert summary["shifted_days"] % 7 == 0
    assert summary["shifted_days"] > 1900
    assert summary["rows"]["city_live"] == 0
    assert summary["rows"]["pair_stats"] == 4 * 4 + 2 * 4
    rows = asyncio.run(SqliteOnlineStore(home / "feast" / "online_store.db", VIEWS).read([("pair", "4>74")]))
    age = datetime(2026, 3, 4, 12, tzinfo=UTC) - datetime.fromtimestamp(rows[0][0], UTC)
    assert timedelta(0) <= age <= timedelta(days=21)


def test_features_of_another_city_are_refused(tmp_path: Path) -> None:
    """A version serves with later trips of its city; with other zones, or where none are recorded, it does not."""
    home = _home(tmp_path / "home", some_trips(300, days=3))
    build(home)
    made = tiny_artifact(tmp_path / "made").manifest
    of_home = replace(made, files={**made.files, ZONES_FILE: file_sha256(Layout(home).zones)})
    check_built_for(home, of_home)
    with pytest.raises(DataRefused, match=r"features: built for zones .*, eta@1 was trained for"):
        check_built_for(home, made)
    _home(home, some_trips(300, days=3, seed=1))
    build(home)
    check_built_for(home, of_home)
    (Layout(home).features / BUILT_FROM).unlink()
    with pytest.raises(NotFound, match=r"built_from\.json"):
        check_built_for(home, of_home)


def test_without_tables_there_is_nothing_to_write(tmp_path: Path, store: Any) -> None:
    """The missing table is named."""
    with pytest.raises(NotFound, match=r"city_live\.parquet"):
        materialize(tmp_path, store, datetime(2026, 1, 1, tzinfo=UTC))
