"""Histories against trips counted by hand, and what must not leak into them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contracts.distance import haversine_m
from contracts.features import VIEWS
from contracts.local_time import local_time
from contracts.trips import CITY_TZ
from feature_repo.history import (
    EVENT_TIME,
    Ended,
    ended_trips,
    log_ratio_of,
    pair_history,
    pair_table,
    reference_of,
    window_tables,
    zone_hour_table,
)
from tests.some_trips import ZONES, some_trips

CLOCK = local_time(CITY_TZ)


@pytest.fixture(scope="module")
def ended() -> Ended:
    """Four days over a change of the clocks."""
    return ended_trips(some_trips(400, days=4), ZONES)


def _midnight(table: pd.DataFrame, i: int) -> pd.Timestamp:
    moment: pd.Timestamp = table[EVENT_TIME].iloc[i].tz_convert(CITY_TZ)
    return moment


def test_tables_have_the_views_columns_and_are_known_at_midnight(ended: Ended) -> None:
    """Key, event time and the view's features in order; statistics are stamped with a local midnight."""
    pairs = pair_history(ended)
    tables = {
        "pair_stats": pair_table(pairs, CLOCK),
        "zone_hour_stats": zone_hour_table(ended, log_ratio_of(ended, pairs), CLOCK),
    }
    for table in tables.values():
        assert all(_midnight(table, i) == _midnight(table, i).normalize() for i in range(0, len(table), 17))
    tables |= dict(window_tables(ended, log_ratio_of(ended, pairs)))
    for view in VIEWS:
        assert list(tables[view.name].columns) == [view.entity, EVENT_TIME, *view.features]


def test_pair_statistics_are_of_earlier_days_only(ended: Ended) -> None:
    """A pair's weight at a midnight is that of the trips that had ended before it, faded by their days."""
    table = pair_table(pair_history(ended), CLOCK)
    for row in table.sample(40, random_state=1).itertuples():
        pickup, dropoff = str(row.pair).split(">")
        day = int(CLOCK.day(np.array([row.event_timestamp.timestamp()]))[0])
        mine = ended.day < day
        for end, zone in ((ended.pickup, pickup), (ended.dropoff, dropoff)):
            mine &= (end == ZONES.index[zone]) if zone != "*" else np.True_
        faded = 0.5 ** ((day - 1 - ended.day[mine]) / 60.0)
        assert row.weight == pytest.approx(faded.sum())
        assert row.log_excess == pytest.approx((faded * ended.log_excess[mine]).sum() / faded.sum())
        parts = sum(getattr(row, f"weight_{part}") for part in ("night", "morning", "midday", "evening", "late"))
        assert parts == pytest.approx(row.weight)


def test_a_trips_reference_does_not_know_the_trip() -> None:
    """The reference on the day of its end depends neither on the trip's own duration nor on that day's others."""
    trips = some_trips(300, days=3)
    before = ended_trips(trips, ZONES)
    last_day = before.day == before.day.max()
    changed = trips.copy()
    late = (
        trips["trip_id"].isin(trips.sort_values(["dropoff_at", "trip_id"])["trip_id"].to_numpy()[last_day]).to_numpy()
    )
    changed.loc[late, "duration_s"] *= 3.0
    after = ended_trips(changed, ZONES)
    np.testing.assert_array_equal(
        reference_of(before, pair_history(before))[last_day], reference_of(after, pair_history(after))[last_day]
    )
    assert (log_ratio_of(after, pair_history(after)) != log_ratio_of(before, pair_history(before)))[last_day].any()


def test_windows_count_a_trip_once_in_each_zone_it_touched(ended: Ended) -> None:
    """Zone windows hold trips that started or ended there, city windows all; means are the trips' own."""
    log_ratio = log_ratio_of(ended, pair_history(ended))
    distance = haversine_m(
        ZONES.lat[ended.pickup], ZONES.lon[ended.pickup], ZONES.lat[ended.dropoff], ZONES.lon[ended.dropoff]
    )
    speed = np.maximum(distance, 800.0) / ended.duration_s * 3.6
    for name, table in window_tables(ended, log_ratio):
        windows = {"15m": 900, "30m": 1800, "60m": 3600} if name.endswith("live") else {"1d": 86_400, "7d": 604_800}
        for row in table.sample(min(25, len(table)), random_state=3).itertuples():
            at = row.event_timestamp.value // 1000
            key = row[1]
            here = np.ones(len(speed), dtype=bool)
            if key in ZONES.index:
                here = (ended.pickup == ZONES.index[key]) | (ended.dropoff == ZONES.index[key])
            for window, seconds in windows.items():
                held = here & (ended.ended_us > at - seconds * 10**6) & (ended.ended_us <= at)
                assert getattr(row, f"count_{window}") == held.sum()
                if held.any():
                    assert getattr(row, f"log_ratio_{window}") == pytest.approx(log_ratio[held].mean(), abs=1e-6)
                    assert getattr(row, f"speed_kmh_{window}") == pytest.approx(speed[held].mean(), abs=1e-6)
                else:
                    assert np.isnan(getattr(row, f"log_ratio_{window}"))


def test_zone_hours_are_of_the_start_and_of_both_ends(ended: Ended) -> None:
    """The last snapshot of all zones counts every trip in the local hour of its start."""
    table = zone_hour_table(ended, log_ratio_of(ended, pair_history(ended)), CLOCK)
    last_day = int(ended.day.max())
    for hour in (100, 120, 143, 167):
        here = ended.week_hour == hour
        rows = table[table["zone_hour"] == f"*|{hour:03d}"]
        if not here.any():
            assert rows.empty
            continue
        day = int(CLOCK.day(np.array([rows[EVENT_TIME].iloc[-1].timestamp()]))[0])
        assert rows["weight"].iloc[-1] == pytest.approx((0.5 ** ((day - 1 - ended.day[here]) / 60.0)).sum())
        assert day <= last_day + 1
