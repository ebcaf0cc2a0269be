"""Events into live views on a real Valkey: as history has them, whatever the order, and through a SIGKILL."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import redis

from adapters.feast_encoding import is_row_key
from adapters.online_store import RedisOnlineStore, RowLayout
from adapters.online_writer import MICRO, RedisOnlineWriter, Upsert
from adapters.redis_pipe import RedisPipe
from adapters.redis_stream import RedisStream
from adapters.trip_log import TripLog
from adapters.trips_file import write_zones
from adapters.valkey import EmbeddedValkey
from contracts.errors import Unavailable
from contracts.events import FEATURES_INVALIDATED, TRIPS_ENDED, TripEnded, dead_letter_topic, encode_event
from contracts.features import VIEWS
from contracts.local_time import local_time
from contracts.schema import Floats
from contracts.trips import CITY, CITY_TZ
from feature_repo.history import ended_trips, log_ratio_of, pair_history, pair_table, window_tables
from pipelines.stream import GROUP
from tests.conformance.doomed_consumer import live_features, outside
from tests.conformance.test_invalidation import Server
from tests.fakes import FakeClock
from tests.fakes_stream import FakeStream
from tests.some_trips import ZONES, some_trips, zone_frame

ROOT = Path(__file__).parent.parent.parent
LAYOUT = RowLayout(VIEWS)
POISON = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"null",
    b'{"schema_version": 2}',
    b'{"schema_version": 1}',
]


@pytest.fixture(autouse=True)
def _empty(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()


@pytest.fixture
def topic() -> str:
    """One of the test's own."""
    return f"trips.ended.{uuid.uuid4().hex[:8]}"


def event(trip: Any) -> bytes:
    """A row of the canonical frame as an event."""
    return encode_event(
        TripEnded(
            schema_version=1,
            trip_id=trip.trip_id,
            pickup_at=trip.pickup_at.to_pydatetime(),
            dropoff_at=trip.dropoff_at.to_pydatetime(),
            pickup_zone=trip.pickup_zone,
            dropoff_zone=trip.dropoff_zone,
        )
    )


def read(valkey: EmbeddedValkey, view: str, key: str) -> list[float]:
    """Event time and values of a row."""

    async def once() -> Floats:
        store = RedisOnlineStore(RedisPipe(valkey.socket_url), VIEWS)
        try:
            return await store.read([(entity, key)])
        finally:
            await store.close()

    spec = next(of for of in VIEWS if of.name == view)
    entity = spec.entity
    (row,) = asyncio.run(once())
    start = LAYOUT.offsets[view]
    values: list[float] = row[start : start + 1 + len(spec.features)].tolist()
    return values


def recent(count: int, now: float, seed: int = 1) -> list[TripEnded]:
    """Trips that ended in the last quarter of an hour before `now`."""
    draw = random.Random(seed)
    trips = []
    for i in range(count):
        ended = datetime.fromtimestamp(now - draw.uniform(0, 880), UTC)
        began = ended - timedelta(seconds=draw.randint(60, 3600))
        pickup, dropoff = draw.choice(ZONES.ids), draw.choice(ZONES.ids)
        trips.append(
            TripEnded(
                schema_version=1,
                trip_id=f"t{i}",
                pickup_at=began,
                dropoff_at=ended,
                pickup_zone=pickup,
                dropoff_zone=dropoff,
            )
        )
    return trips


def test_a_day_replayed_has_the_rows_of_history(valkey: EmbeddedValkey, topic: str) -> None:
    """Every live row, at every moment at which one changes, is the row that training sees for that moment."""
    frame, clock = some_trips(150, days=0.9, seed=5), local_time(CITY_TZ)
    ended = ended_trips(frame, ZONES, clock)
    pairs = pair_history(ended)
    expected: dict[int, list[tuple[str, str, list[float]]]] = {}
    for view, table in window_tables(ended, log_ratio_of(ended, pairs)):
        for key, at, *values in table.itertuples(index=False, name=None) if view.endswith("_live") else ():
            expected.setdefault(round(at.timestamp() * MICRO), []).append((view, key, values))
    stream, now = FakeStream(), FakeClock(frame["dropoff_at"].min().timestamp() - 60)
    features = live_features(outside(valkey.socket_url, topic, stream), ZONES, now)
    trips = frame.sort_values("dropoff_at").itertuples(index=False)
    events = [(round(trip.dropoff_at.timestamp() * MICRO), event(trip)) for trip in trips]
    statistics = Statistics(valkey, pair_table(pairs, clock))
    compared = 0
    for at in sorted(expected):
        while events and events[0][0] <= at:
            stream.publish(topic, [("", events.pop(0)[1])])
        now.seconds = at / MICRO
        statistics.publish_until(at)
        features.step(0.0)
        for view, key, values in expected[at]:
            row = read(valkey, view, key)
            assert row[0] == at / MICRO, (view, key)
            np.testing.assert_allclose(row[1:], values, rtol=1e-12, err_msg=f"{view} {key} {at}")
            compared += 1
    assert compared > 1000
    assert features.counts["too_late"] == features.counts["dead_letters"] == 0


class Statistics:
    """Writes each midnight's pair statistics when it comes."""

    def __init__(self, valkey: EmbeddedValkey, table: pd.DataFrame) -> None:
        self._writer = RedisOnlineWriter(valkey.url, VIEWS)
        rows = table.sort_values("event_timestamp").itertuples(index=False, name=None)
        self._rows = [(round(at.timestamp() * MICRO), key, tuple(values)) for key, at, *values in rows]

    def publish_until(self, at: int) -> None:
        """All that was known then."""
        due = [Upsert("pair_stats", key, when, values) for when, key, values in self._rows if when <= at]
        self._rows = self._rows[len(due) :]
        if due:
            self._writer.upsert(due, at / MICRO)


def test_order_and_repetition_do_not_matter(valkey: EmbeddedValkey, topic: str) -> None:
    """Shuffled, repeated, with poison among them, cut into batches as they come: the same rows."""
    now, ends = 1_800_000_005.0, []
    trips = recent(120, now)
    for seed in (1, 2):
        with redis.Redis.from_url(valkey.url) as client:
            client.flushall()
        draw, stream = random.Random(seed), FakeStream()
        features = live_features(outside(valkey.socket_url, topic, stream), ZONES, FakeClock(now))
        payloads = [encode_event(trip) for trip in trips]
        payloads += draw.choices(payloads, k=60) + POISON
        draw.shuffle(payloads)
        while payloads:
            size = draw.randint(1, 40)
            stream.publish(topic, [("", payload) for payload in payloads[:size]])
            payloads = payloads[size:]
            features.step(0.0)
        assert features.counts["dead_letters"] == len(stream.topics[dead_letter_topic(topic)]) == len(POISON)
        assert features.report()["lag"] == 0
        ends.append([read(valkey, "city_live", CITY), *(read(valkey, "zone_live", zone) for zone in ZONES.ids)])
    np.testing.assert_array_equal(ends[0], ends[1])
    by_hand = [120.0, *(sum(zone in (t.pickup_zone, t.dropoff_zone) for t in trips) for zone in ZONES.ids)]
    grid = now // 10 * 10
    fresh = [t for t in trips if t.dropoff_at.timestamp() > grid]
    by_hand[0] -= len(fresh)
    for i, zone in enumerate(ZONES.ids):
        by_hand[i + 1] -= sum(zone in (t.pickup_zone, t.dropoff_zone) for t in fresh)
    place = 1 + next(v for v in VIEWS if v.name == "city_live").features.index("count_60m")
    assert [row[place] for row in ends[0]] == by_hand


def test_what_is_no_trip_of_this_city_and_time_is_a_dead_letter(valkey: EmbeddedValkey, topic: str) -> None:
    """An unknown zone and a future end name the value and the limit; a trip too old for any window is counted."""
    now, stream = 1_800_000_000.0, FakeStream()
    features = live_features(outside(valkey.socket_url, topic, stream), ZONES, FakeClock(now))
    (trip,) = recent(1, now)
    values = {name: getattr(trip, name) for name in trip.__struct_fields__}
    late = datetime.fromtimestamp(now - 3700, UTC)
    odd = [
        values | {"dropoff_zone": "999"},
        values | {"dropoff_at": datetime.fromtimestamp(now + 61, UTC), "pickup_at": datetime.fromtimestamp(now, UTC)},
        values | {"dropoff_at": late, "pickup_at": late - timedelta(seconds=600)},
    ]
    stream.publish(topic, [("", encode_event(TripEnded(**one))) for one in odd])
    assert features.step(0.0) == 1
    reasons = b"".join(letter.payload for letter in stream.topics[dead_letter_topic(topic)])
    assert b"dropoff_zone: is '999', must be one of the city's 4 zones" in reasons
    assert b"dropoff_at: is 61.0 s in the future, must be at most 60 s" in reasons
    assert features.counts["too_late"] == 1
    assert features.report()["lag"] == 0


def test_a_batch_that_failed_goes_on(valkey: EmbeddedValkey, topic: str) -> None:
    """A store that is away for a step: nothing is committed, nothing is lost, and caches are told in the end."""
    now, stream = 1_800_000_000.0, FakeStream()
    of = outside(valkey.socket_url, topic, stream)
    features = live_features(of, ZONES, FakeClock(now))
    stream.publish(topic, [("", encode_event(trip)) for trip in recent(20, now)] + [("", b"poison")])
    whole = of.invalidations
    object.__setattr__(of, "invalidations", FakeStream(error=Unavailable("stream", "stream_unavailable")))
    for _ in range(2):
        with pytest.raises(Unavailable):
            features.step(0.0)
    assert features.report()["lag"] > 0
    object.__setattr__(of, "invalidations", whole)
    assert features.step(0.0) == 20
    assert features.counts["dead_letters"] == 1
    with redis.Redis.from_url(valkey.url) as client:
        assert client.xlen(FEATURES_INVALIDATED) == 1
    assert features.counts["invalidated"] == 1 + len(ZONES.ids)


def test_a_consumer_killed_in_mid_batch_loses_and_doubles_nothing(
    valkey: EmbeddedValkey, topic: str, tmp_path: Path
) -> None:
    """SIGKILL after each kind of effect; the next consumer claims what was not committed and ends with exact counts."""
    zones = tmp_path / "zones.parquet"
    write_zones(zones, zone_frame(ZONES), "drawn for a test")
    now = time.time()
    trips = recent(6000, now)
    payloads = [encode_event(trip) for trip in trips]
    draw = random.Random(3)
    payloads += draw.choices(payloads, k=600) + POISON * 20
    draw.shuffle(payloads)
    stream = RedisStream(valkey.socket_url)
    stream.publish(topic, [("", payload) for payload in payloads])
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    deaths = ("trips poll 2", "trips dead_letter 7", "references of 2", "cells add 2", "writer upsert 1")
    for death in (*deaths, "invalidations publish 1"):
        command = [sys.executable, "-m", "tests.conformance.doomed_consumer", valkey.socket_url, topic, str(zones)]
        done = subprocess.run([*command, *death.split()], env=environ, cwd=ROOT, timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL, death
    of = outside(valkey.socket_url, topic)
    features = live_features(of, ZONES)
    deadline = time.monotonic() + 60
    while features.report()["lag"]:
        assert time.monotonic() < deadline
        features.step(0.1)
    assert features.counts["repeated_additions"] > 600  # deaths between the effects and the commit
    (cells,) = of.cells.read([("city", CITY)])
    assert sum(count for count, *_ in cells.values()) == 6000
    for zone in ZONES.ids:
        (cells,) = of.cells.read([("zone", zone)])
        assert sum(n for n, *_ in cells.values()) == sum(zone in (t.pickup_zone, t.dropoff_zone) for t in trips)
    features.step(0.0)
    place = 1 + next(v for v in VIEWS if v.name == "city_live").features.index("count_60m")
    expected = sum(t.dropoff_at.timestamp() <= features._tick_us / MICRO for t in trips)
    assert read(valkey, "city_live", CITY)[place] == expected
    with redis.Redis.from_url(valkey.url) as client:
        assert client.xlen(dead_letter_topic(topic)) == 20 * len(POISON)
    stream.close()


def test_an_erased_server_is_filled_again_from_the_log(valkey: EmbeddedValkey, topic: str, tmp_path: Path) -> None:
    """Cells, rows and what was remembered: the next trips count on top, a repeated one not, and it is told."""
    now, stream, told = FakeClock(1_800_000_005.0), FakeStream(), list[int]()
    of = outside(valkey.socket_url, topic, stream)
    object.__setattr__(of, "log", TripLog(tmp_path, now))
    object.__setattr__(of, "erased", lambda: told.append(1))
    features = live_features(of, ZONES, now)
    trips = [encode_event(trip) for trip in recent(100, now.seconds)]
    stream.publish(topic, [("", payload) for payload in trips[:80]])
    features.step(0.0)
    before = [read(valkey, "city_live", CITY), *(read(valkey, "zone_live", zone) for zone in ZONES.ids)]
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    assert np.isnan(read(valkey, "city_live", CITY)).all()
    features.step(0.0)
    after = [read(valkey, "city_live", CITY), *(read(valkey, "zone_live", zone) for zone in ZONES.ids)]
    np.testing.assert_array_equal(before, after)
    assert (told, features.counts["erasures"]) == ([1], 1)
    stream.publish(topic, [("", payload) for payload in trips[70:]])
    features.step(0.0)
    (cells,) = of.cells.read([("city", CITY)])
    assert sum(count for count, *_ in cells.values()) == 100
    # Another consumer of the same log, and a server that was filled before it came: nothing is told.
    other = live_features(of, ZONES, now)
    other.step(0.0)
    assert (told, other.counts["additions_restored"]) == ([1], 0)


def test_rows_that_another_emptied_come_back(valkey: EmbeddedValkey, topic: str) -> None:
    """At the next grid time, as when history is materialized anew while the stream runs."""
    now, stream = FakeClock(1_800_000_005.0), FakeStream()
    features = live_features(outside(valkey.socket_url, topic, stream), ZONES, now)
    stream.publish(topic, [("", encode_event(trip)) for trip in recent(100, now.seconds)])
    features.step(0.0)
    now.advance(10)
    features.step(0.0)  # what a tick writes
    before = [read(valkey, "zone_live", zone) for zone in ZONES.ids]
    with redis.Redis.from_url(valkey.url) as client:
        rows = [key for key in client.keys("*tandem") if is_row_key(key)]
        assert client.delete(*rows) == 1 + len(ZONES.ids)
    now.advance(10)
    features.step(0.0)
    after = [read(valkey, "zone_live", zone) for zone in ZONES.ids]
    assert [row[0] >= 0 for row in after] == [True] * len(ZONES.ids)
    assert [row[0] for row in after] >= [row[0] for row in before]


def test_no_trip_counts_before_its_reference_is_there(valkey: EmbeddedValkey, topic: str) -> None:
    """A store that is being filled: the batch waits, and then counts once."""
    now, stream, there = FakeClock(1_800_000_005.0), FakeStream(), [False]
    of = outside(valkey.socket_url, topic, stream)
    object.__setattr__(of, "filled", lambda: there[0])
    features = live_features(of, ZONES, now)
    stream.publish(topic, [("", encode_event(trip)) for trip in recent(10, now.seconds)])
    for _ in range(2):
        with pytest.raises(Unavailable, match="not_filled"):
            features.step(0.0)
    there[0] = True
    assert features.step(0.0) == 10
    (cells,) = of.cells.read([("city", CITY)])
    assert sum(count for count, *_ in cells.values()) == 10


def test_the_program_follows_until_told_to_end(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """As the stack runs it: settings from the environment; SIGTERM is a clean end, no store a reason and status 1."""
    (tmp_path / "data").mkdir()
    write_zones(tmp_path / "data" / "zones.parquet", zone_frame(ZONES), "drawn for a test")
    environ = os.environ | {"PYTHONPATH": str(ROOT), "TANDEM_HOME": str(tmp_path), "TANDEM_REDIS_URL": ""}
    command = [sys.executable, "-m", "pipelines.stream"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "TANDEM_REDIS_URL" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    stream = RedisStream(valkey.socket_url)
    stream.publish(TRIPS_ENDED, [("", encode_event(trip)) for trip in recent(50, time.time())] + [("", b"poison")])
    process = subprocess.Popen(command, env=environ | {"TANDEM_REDIS_URL": valkey.socket_url})
    try:
        deadline = time.monotonic() + 30
        while stream.subscribe(TRIPS_ENDED, GROUP).lag():
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        stream.close()
    assert read(valkey, "city_live", CITY)[1] > 40


def test_a_server_that_is_killed_and_comes_back_loses_nothing(topic: str, tmp_path: Path) -> None:
    """SIGKILL of Valkey between batches and in the middle of publishing: what was acknowledged counts, once."""
    server = Server(tmp_path)
    server.start()
    trips = recent(3000, time.time())
    payloads = [("", encode_event(trip)) for trip in trips]
    try:
        stream = RedisStream(server.at.socket_url)
        of = outside(server.at.socket_url, topic)
        features = live_features(of, ZONES)
        for start in range(0, 3000, 500):
            stream.publish(topic, payloads[start : start + 500])
            with suppress(Unavailable):  # a connection that died unnoticed: the next step goes on
                features.step(0.1)
            server.kill()
            with pytest.raises(Unavailable):
                stream.publish(topic, payloads[:1])
            with pytest.raises(Unavailable):
                features.step(0.1)
            server.start()
            stream.publish(topic, payloads[start : start + 20])  # published again, since nobody knows
        deadline = time.monotonic() + 60
        while features.report()["lag"]:
            assert time.monotonic() < deadline
            with suppress(Unavailable):
                features.step(0.1)
        (cells,) = of.cells.read([("city", CITY)])
        assert sum(count for count, *_ in cells.values()) == 3000
        assert features.counts["repeated_additions"] > 0
    finally:
        server.kill()
