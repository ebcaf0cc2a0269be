"""The point-in-time join and the masking of live values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import SchemaMismatch
from contracts.features import ETA_SCHEMA, LIVE_VIEWS, LONG_VIEWS, LOOKUPS, VIEWS
from contracts.schema import Lookup, ViewSpec
from tests.some_trips import START, ZONES, some_trips
from training.dataset import FeatureTable, mask_live, point_in_time_join, trip_matrix

VIEW = ViewSpec("zone_live", "zone", ("count", "speed"), 600.0)
LOOKUP = (Lookup("pickup", "zone_live"),)


def _table(folder: Path, rows: list[tuple[str, pd.Timestamp, float, float]]) -> FeatureTable:
    keys, times, counts, speeds = (list(column) for column in zip(*rows, strict=True))
    path = folder / "zone_live.parquet"
    times = pa.array([t.tz_convert("UTC").to_pydatetime() for t in times], type=pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"zone": keys, "event_timestamp": times, "count": counts, "speed": speeds}), path)
    return FeatureTable(VIEW, path)


def _trips(*pickups: tuple[str, pd.Timestamp]) -> pd.DataFrame:
    zones, times = zip(*pickups, strict=True)
    at = pd.Series(pd.to_datetime(list(times), utc=True)).dt.as_unit("us")
    return pd.DataFrame({"pickup_at": at, "pickup_zone": zones, "dropoff_zone": "12"})


def _later(seconds: float) -> pd.Timestamp:
    return START + pd.Timedelta(seconds, unit="s")


def test_takes_the_latest_at_or_before_the_start(tmp_path: Path) -> None:
    """The row of that key with the greatest event time that is not after the trip's start."""
    table = _table(tmp_path, [("4", _later(0), 1, 9), ("4", _later(60), 2, 8), ("74", _later(30), 3, 7)])
    trips = _trips(("4", _later(60)), ("4", _later(59.999999)), ("74", _later(100)), ("4", _later(100)))
    found = point_in_time_join(trips, [table], LOOKUP)
    assert found["pickup.count"].tolist() == [2, 1, 3, 2]
    assert found["pickup.speed"].tolist() == [8, 9, 7, 8]


def test_a_planted_leak_is_not_seen(tmp_path: Path) -> None:
    """A snapshot stamped after the start, be it by a microsecond, does not reach the trip."""
    leak = 1e6
    table = _table(
        tmp_path, [("4", _later(0), 1, 1), ("4", _later(60.000001), leak, leak), ("74", _later(61), leak, 0)]
    )
    found = point_in_time_join(_trips(("4", _later(60)), ("74", _later(60))), [table], LOOKUP)
    assert found["pickup.count"].iloc[0] == 1
    assert np.isnan(found["pickup.count"].iloc[1])
    assert not (found == leak).to_numpy().any()


def test_over_its_ttl_a_value_is_absent(tmp_path: Path) -> None:
    """A row holds for the view's TTL to the microsecond, and is not replaced by an older one."""
    table = _table(tmp_path, [("4", _later(0), 1, 1)])
    found = point_in_time_join(_trips(("4", _later(600)), ("4", _later(600.000001))), [table], LOOKUP)
    np.testing.assert_array_equal(found["pickup.count"], [1, np.nan])


def test_absent_values_and_keys_are_nan(tmp_path: Path) -> None:
    """NaN, null and a key without a row all come out as NaN."""
    table = _table(tmp_path, [("4", _later(0), 1, np.nan), ("12", _later(0), None, 2)])  # type: ignore[list-item]
    found = point_in_time_join(_trips(("4", _later(1)), ("12", _later(1)), ("138", _later(1))), [table], LOOKUP)
    np.testing.assert_array_equal(found["pickup.count"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(found["pickup.speed"], [np.nan, 2, np.nan])


def test_order_and_number_of_the_trips_stay(tmp_path: Path) -> None:
    """One row a trip, in the trips' order, also where keys and times repeat by the thousand."""
    rng = np.random.default_rng(2)
    rows = [(zone, _later(60 * minute), float(minute), 0.0) for minute in range(0, 600, 3) for zone in ZONES.ids]
    seconds = rng.integers(0, 600, 5000) * 60
    zones = np.array(ZONES.ids)[rng.integers(0, 4, 5000)]
    trips = _trips(*zip(zones.tolist(), [_later(float(s)) for s in seconds], strict=True))
    found = point_in_time_join(trips, [_table(tmp_path, rows)], LOOKUP)
    np.testing.assert_array_equal(found["pickup.count"], seconds // 180 * 3)


def test_history_that_repeats_a_key_and_time_still_gives_one_row(tmp_path: Path) -> None:
    """A table that was written twice does not double trips."""
    rows = [("4", _later(0), 1.0, 1.0), ("4", _later(0), 1.0, 1.0)]
    assert len(point_in_time_join(_trips(("4", _later(5))), [_table(tmp_path, rows)], LOOKUP)) == 1


def test_no_trips_no_rows(tmp_path: Path) -> None:
    """An empty frame has all columns and no row."""
    found = point_in_time_join(_trips(("4", _later(0))).iloc[:0], [_table(tmp_path, [("4", _later(0), 1, 1)])], LOOKUP)
    assert list(found.columns) == ["pickup.count", "pickup.speed"]
    assert found.empty


def test_a_view_without_a_table_is_named(tmp_path: Path) -> None:
    """What is looked up must be there."""
    table = _table(tmp_path, [("4", _later(0), 1, 1)])
    with pytest.raises(SchemaMismatch, match="city_live"):
        point_in_time_join(_trips(("4", _later(5))), [table], [Lookup("city", "city_live")])


def _looked_up(rows: int) -> pd.DataFrame:
    features = {view.name: view.features for view in VIEWS}
    return pd.DataFrame({f"{one.role}.{name}": np.ones(rows) for one in LOOKUPS for name in features[one.view]})


def test_masking_takes_whole_views_of_a_seeded_share() -> None:
    """A tenth of the rows loses live values, a third of these each the short, the long, both; nothing else changes."""
    looked_up = _looked_up(30_000)
    masked = mask_live(looked_up, seed=3)
    views = {view.name: view for view in VIEWS}
    gone: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}
    for one in LOOKUPS:
        of_view = masked[[f"{one.role}.{name}" for name in views[one.view].features]].isna()
        assert (of_view.all(axis=1) == of_view.any(axis=1)).all()
        lost = of_view.any(axis=1).to_numpy()
        np.testing.assert_array_equal(gone.setdefault(one.view, lost), lost)
    short, long = gone[LIVE_VIEWS[0]], gone[LONG_VIEWS[0]]
    assert (short | long).mean() == pytest.approx(0.1, abs=0.01)
    for kind in (short & ~long, long & ~short, short & long):
        assert kind.mean() == pytest.approx(0.1 / 3, abs=0.006)
    assert not gone["pair_stats"].any()
    assert not gone["zone_hour_stats"].any()
    assert not looked_up.isna().to_numpy().any()


def test_masking_follows_its_seed() -> None:
    """The same seed masks the same rows."""
    looked_up = _looked_up(500)
    pd.testing.assert_frame_equal(mask_live(looked_up, seed=1), mask_live(looked_up, seed=1))
    assert not mask_live(looked_up, seed=1).equals(mask_live(looked_up, seed=2))
    pd.testing.assert_frame_equal(mask_live(looked_up, seed=1, share=0.0), looked_up)


def test_the_matrix_is_the_schemas() -> None:
    """float32, one row a trip, the schema's width."""
    trips = some_trips(20, days=1)
    matrix = trip_matrix(trips, _looked_up(20), ZONES)
    assert matrix.shape == (20, len(ETA_SCHEMA.names))
    assert matrix.dtype == np.float32
