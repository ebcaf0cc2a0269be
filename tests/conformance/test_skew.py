"""A day replayed both ways: as events through the consumer, and as history. What is served is what is trained on."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import redis

from adapters.online_store import RedisOnlineStore, RowLayout
from adapters.online_writer import MICRO, RedisOnlineWriter, Upsert
from adapters.redis_pipe import RedisPipe
from adapters.tables import read_zones
from adapters.trip_log import TripLog
from adapters.trips_file import read_trips
from adapters.valkey import EmbeddedValkey
from contracts.features import LIVE_VIEWS, VIEWS
from contracts.local_time import local_time
from contracts.trips import CITY_TZ
from contracts.zones import Zones
from feature_repo.history import ended_trips, log_ratio_of, pair_history, pair_table, window_tables
from pipelines.data import tlc
from pipelines.layout import Layout
from pipelines.live_history import HOUR_US, compact
from tests.conformance.doomed_consumer import live_features, outside
from tests.conformance.test_live_features import event
from tests.fakes import FakeClock
from tests.fakes_stream import FakeStream
from tests.some_trips import START, ZONES, some_trips

RTOL = 1e-6
LAYOUT = RowLayout(VIEWS)
Row = tuple[str, str, list[float]]


@dataclass(frozen=True)
class Day:
    """Trips up to the end of a local day, and the µs at which that day began."""

    trips: pd.DataFrame
    zones: Zones
    began_us: int


@pytest.fixture(params=["sample", "tlc"])
def day(request: Any, tmp_path: Path) -> Day:
    """The second of two drawn days; or a Friday of the TLC's, with half a month before it."""
    if request.param == "sample":
        frame, zones, start = some_trips(700, days=2, seed=11), ZONES, START + pd.Timedelta(days=1)
    else:
        if not (folder := os.environ.get("TANDEM_TEST_DATA")):
            pytest.skip("TANDEM_TEST_DATA is unset: no TLC months to read")
        tlc(tmp_path, source=str(Path(folder) / "tlc"), months="2021-01", progress=False)
        layout = Layout(tmp_path)
        frame, zones = read_trips(layout.trips), read_zones(layout.zones)
        start = pd.Timestamp("2021-01-15T00:00:00", tz=CITY_TZ)
    whole = frame[frame["dropoff_at"] <= start + pd.Timedelta(days=1)]
    return Day(whole, zones, round(start.timestamp() * MICRO))


class Served:
    """The online store as it is at a moment."""

    def __init__(self, valkey: EmbeddedValkey) -> None:
        self._writer = RedisOnlineWriter(valkey.url, VIEWS)
        self._store = RedisOnlineStore(RedisPipe(valkey.socket_url), VIEWS)
        self._runner = asyncio.Runner()
        with redis.Redis.from_url(valkey.url) as client:
            client.flushall()

    def write(self, rows: Sequence[Upsert], at: int) -> None:
        """Put rows there."""
        self._writer.upsert(rows, at / MICRO)

    def read(self, wanted: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Event time and values of live views, by (view, key)."""
        entities = {view.name: view.entity for view in VIEWS}
        rows = self._runner.run(self._store.read([(entities[view], key) for view, key in wanted]))
        widths = {view.name: 1 + len(view.features) for view in VIEWS}
        starts = [LAYOUT.offsets[view] for view, _ in wanted]
        return [row[at : at + widths[view]] for row, at, (view, _) in zip(rows, starts, wanted, strict=True)]

    def close(self) -> None:
        """Let it go."""
        self._runner.run(self._store.close())
        self._runner.close()


def mismatches(found: Sequence[float], expected: Sequence[float]) -> int:
    """How many values differ; absent is equal to absent."""
    return int((~np.isclose(found, expected, rtol=RTOL, atol=0.0, equal_nan=True)).sum())


def test_a_day_is_the_same_online_offline_and_in_history(valkey: EmbeddedValkey, day: Day, tmp_path: Path) -> None:
    """Every live feature at every moment at which one changes: 0 mismatches, and no row that history has not."""
    clock = local_time(CITY_TZ)
    ended = ended_trips(day.trips, day.zones, clock)
    pairs = pair_history(ended)
    history: dict[int, list[Row]] = defaultdict(list)
    for view, table in window_tables(ended, log_ratio_of(ended, pairs)):
        for key, at, *values in table.itertuples(index=False, name=None) if view in LIVE_VIEWS else ():
            history[round(at.timestamp() * MICRO)].append((view, key, values))
    statistics = pair_table(pairs, clock).sort_values("event_timestamp")
    # The day before it is replayed, too: its last hour is in the day's windows.
    first_us = day.began_us - 2 * HOUR_US
    known = [
        Upsert("pair_stats", key, round(at.timestamp() * MICRO), tuple(values))
        for key, at, *values in statistics.itertuples(index=False, name=None)
    ]
    trips = day.trips[day.trips["dropoff_at"] > pd.Timestamp(first_us, unit="us", tz="UTC")].sort_values("dropoff_at")
    events = [(round(trip.dropoff_at.timestamp() * MICRO), event(trip)) for trip in trips.itertuples(index=False)]
    served, stream, now = Served(valkey), FakeStream(), FakeClock(first_us / MICRO)
    topic = f"trips.ended.{uuid.uuid4().hex[:8]}"
    of = outside(valkey.socket_url, topic, stream)
    layout = Layout(tmp_path / "live")
    layout.features.mkdir(parents=True)
    object.__setattr__(of, "log", TripLog(layout.counted_trips, now))
    features = live_features(of, day.zones, now)
    differ = compared = sent = told = 0

    def step(until: int, at: int) -> int:
        """Deliver what ended before a time, and work at another."""
        begin, now.seconds = sent, at / MICRO
        end = begin + sum(1 for _ in takewhile(lambda one: one[0] < until, events[begin:]))
        stream.publish(topic, [("", payload) for _, payload in events[begin:end]])
        features.step(0.0)
        return end

    for at in sorted(moment for moment in history if moment > first_us):
        due = list(takewhile(lambda row, at=at: row.event_us <= at, known[told:]))  # type: ignore[misc]
        if due:  # a trip of the day before was compared with the statistics of the day before
            sent = step(due[-1].event_us, due[-1].event_us)
            served.write(due, at)
            told += len(due)
        sent = step(at + 1, at)
        if at <= day.began_us:
            continue
        expected = history[at]
        for (_, key, values), row in zip(expected, served.read([row[:2] for row in expected]), strict=True):
            assert row[0] == at / MICRO, key
            differ += mismatches(row[1:], values)
            compared += len(values)
    served.close()
    assert (differ, features.counts["dead_letters"], features.counts["too_late"]) == (0, 0, 0)
    assert compared > 10_000
    compact(layout.home, max(history) + 6 * HOUR_US, keep_days=30)
    offline = 0
    for view in LIVE_VIEWS:
        pattern = str(layout.features / f"{view}.*parquet")
        table = duckdb.execute("SELECT * FROM read_parquet(?)", [pattern]).df()
        found = {(key, round(at.timestamp() * MICRO)): values for key, at, *values in table.itertuples(index=False)}
        rows = {
            (key, at): values
            for at, of_moment in history.items()
            for name, key, values in of_moment
            if name == view and at > day.began_us
        }
        differ += sum(mismatches(found[place], values) for place, values in rows.items())
        assert {place for place in found if day.began_us < place[1] <= max(history)} == set(rows)
        offline += sum(map(len, rows.values()))
    assert (differ, offline) == (0, compared)
