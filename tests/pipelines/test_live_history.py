"""What was counted live becomes the rows that history has, hour by hour, and joins it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from adapters.trip_log import TripLog
from adapters.trip_log_files import logged_hours
from adapters.trips_file import trips_writer, write_zones
from contracts.counted_trips import CountedTrip
from contracts.features import LIVE_VIEWS
from contracts.local_time import local_time
from contracts.trips import CITY_TZ
from feature_repo.history import ended_trips, log_ratio_of, pair_history
from feature_repo.trip_values import window_values
from feature_repo.windows import MICRO
from pipelines.layout import Layout
from pipelines.live_history import HOUR_US, compact
from pipelines.materialize import build, tables
from tests.fakes import FakeClock
from tests.some_trips import ZONES, some_trips, zone_frame
from training.dataset import point_in_time_join


def counted(frame: pd.DataFrame) -> list[CountedTrip]:
    """Trips with what history counts them for, in the order of their ends."""
    ended = ended_trips(frame, ZONES, local_time(CITY_TZ))
    values = window_values(log_ratio_of(ended, pair_history(ended)), ended.distance_m, ended.duration_s)
    ordered = frame.sort_values(["dropoff_at", "trip_id"], kind="stable")
    pickup_us = ordered["pickup_at"].dt.as_unit("us").astype("int64")
    rows = zip(
        ordered["trip_id"], pickup_us, ended.ended_us, ordered["pickup_zone"], ordered["dropoff_zone"], strict=True
    )
    return [CountedTrip(*row, *both) for row, both in zip(map(_plain, rows), values.tolist(), strict=True)]


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    trip_id, pickup_us, ended_us, pickup, dropoff = row
    return trip_id, int(pickup_us), int(ended_us), pickup, dropoff


def rows_of(pattern: Path) -> dict[tuple[str, pd.Timestamp], list[float]]:
    """Every row of a table."""
    frame = duckdb.execute("SELECT * FROM read_parquet(?)", [str(pattern)]).df()
    return {(key, at.tz_convert("UTC")): list(values) for key, at, *values in frame.itertuples(index=False, name=None)}


def home_of(tmp_path: Path, frame: pd.DataFrame) -> Layout:
    """A home with trips, their history and no live hours."""
    layout = Layout(tmp_path)
    with trips_writer(layout.trips, "drawn for a test") as write:
        write(frame)
    write_zones(layout.zones, zone_frame(ZONES), "drawn for a test")
    build(tmp_path)
    return layout


def test_live_hours_are_the_rows_of_history(tmp_path: Path) -> None:
    """Hours written one after the other, as they are due, with trips in any order: all of history's rows, no other."""
    frame = some_trips(400, days=1, seed=3)
    history, layout = home_of(tmp_path / "history", frame), Layout(tmp_path / "live")
    layout.features.mkdir(parents=True)
    trips = counted(frame)
    last_us = max(trip.ended_us for trip in trips)
    log = TripLog(layout.counted_trips, FakeClock())
    pending = sorted(trips, key=lambda trip: trip.ended_us)
    now_us = pending[0].ended_us // HOUR_US * HOUR_US
    while now_us < last_us + 6 * HOUR_US:
        due = [trip for trip in pending if trip.ended_us <= now_us]
        pending = pending[len(due) :]
        log.append(due[::-1])
        compact(layout.home, now_us, keep_days=30)
        now_us += HOUR_US // 2
    assert logged_hours(layout.counted_trips) == []  # let go: no window needs them
    for view in LIVE_VIEWS:
        expected = rows_of(history.features / f"{view}.parquet")
        found = rows_of(layout.features / f"{view}.2*.parquet")
        for key, values in expected.items():
            np.testing.assert_allclose(found[key], values, rtol=1e-12, err_msg=str((view, key)))
        # History ends with its last trip; the windows that empty after it were served, too.
        assert {key for key in found if key[1].timestamp() * MICRO <= last_us} == set(expected)


def test_training_sees_what_was_served_after_its_history(tmp_path: Path) -> None:
    """A join with both takes the live hours where history has ended, and neither twice where both are."""
    frame = some_trips(400, days=1, seed=4)
    cut = frame["dropoff_at"].quantile(0.5)
    layout = home_of(tmp_path, frame[frame["dropoff_at"] <= cut])
    log = TripLog(layout.counted_trips, FakeClock())
    log.append(counted(frame))
    late_us = round(frame["dropoff_at"].max().timestamp() * MICRO) + 6 * HOUR_US
    assert compact(tmp_path, late_us, keep_days=30)["hours"] > 10
    asked = frame[frame["pickup_at"] > cut + pd.Timedelta(hours=2)]
    joined = point_in_time_join(asked, tables(tmp_path))
    assert len(joined) == len(asked)
    whole = home_of(tmp_path / "whole", frame)
    expected = point_in_time_join(asked, tables(whole.home))
    for name in [name for name in joined.columns if name.split(".")[0] in {"city", "pickup"} and name.endswith("m")]:
        np.testing.assert_allclose(joined[name], expected[name], rtol=1e-12, err_msg=name)
    assert joined["city.count_60m"].gt(0).any()


def test_history_built_anew_takes_the_place_of_live_hours(tmp_path: Path) -> None:
    """Of those that it reaches into, for good; the later ones stay."""
    frame = some_trips(400, days=1, seed=4)
    early, late = frame["dropoff_at"].quantile([0.3, 0.6])
    layout = home_of(tmp_path, frame[frame["dropoff_at"] <= early])
    log = TripLog(layout.counted_trips, FakeClock())
    log.append(counted(frame))
    now_us = round(frame["dropoff_at"].max().timestamp() * MICRO) + 2 * HOUR_US

    def hours() -> list[str]:
        compact(tmp_path, now_us, keep_days=30)
        return sorted(path.name.split(".")[1] for path in layout.features.glob("city_live.2*.parquet"))

    first = hours()
    assert first[0] > f"{early:%Y-%m-%dT%H}"
    home_of(tmp_path, frame[frame["dropoff_at"] <= late])
    second = hours()
    assert 0 < len(second) < len(first)
    assert second[0] > f"{late:%Y-%m-%dT%H}"
    assert second == first[-len(second) :]


def test_old_hours_go(tmp_path: Path) -> None:
    """Beyond the age, whole files; a pass that is repeated does nothing; without an offline store the log waits."""
    layout = Layout(tmp_path)
    log = TripLog(layout.counted_trips, FakeClock())
    trips = counted(some_trips(50, days=0.2))
    log.append(trips)
    now_us = trips[-1].ended_us + 8 * HOUR_US
    assert compact(tmp_path, now_us, keep_days=2) == {"hours": 0, "rows": 0, "expired": 0}
    assert logged_hours(layout.counted_trips) != []
    layout.features.mkdir()
    assert compact(tmp_path, now_us, keep_days=2)["hours"] > 2
    assert compact(tmp_path, now_us, keep_days=2) == {"hours": 0, "rows": 0, "expired": 0}
    assert compact(tmp_path, now_us + 72 * HOUR_US, keep_days=2)["expired"] > 4
    assert list(layout.features.glob("*.parquet")) == []
