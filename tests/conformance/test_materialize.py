"""A filled online store is filled anew: on SQLite and on a real Valkey that others use too."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import redis

from adapters.feast_encoding import entity_key
from adapters.online_store import FILLED, OnlineStore, RedisOnlineStore, RowLayout
from adapters.online_writer import MICRO, RedisOnlineWriter, Upsert
from adapters.redis_pipe import RedisPipe, command
from adapters.sqlite_online_store import SqliteOnlineStore
from adapters.trips_file import trips_writer, write_zones
from adapters.valkey import EmbeddedValkey
from contracts.events import FEATURES_INVALIDATED, FeaturesInvalidated, decode_event
from contracts.features import VIEWS
from contracts.schema import Floats
from feature_repo.store import open_store
from pipelines import refill as refilling
from pipelines.layout import Layout
from pipelines.materialize import build, materialize
from tests.some_trips import ZONES, some_trips, zone_frame

WANTED = [("pair", "4>74"), ("pair", "12>138"), ("city", "nyc")]
EXCESS = 1 + 1  # its place in a row of pair_stats, after the time and the weight


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose features are built."""
    layout = Layout(tmp_path_factory.mktemp("home"))
    with trips_writer(layout.trips, "drawn for a test") as write:
        write(some_trips(400, days=3))
    write_zones(layout.zones, zone_frame(ZONES), "drawn for a test")
    build(layout.home)
    return layout.home


def refill(home: Path, store: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fill from one set of statistics, then from another of the same times that lacks the pair 4>74."""
    table = Layout(home).features / "pair_stats.parquet"
    kept, trips = table.read_bytes(), pd.read_parquet(Layout(home).trips, columns=["dropoff_at"])
    now = trips["dropoff_at"].max().to_pydatetime()
    try:
        first = materialize(home, store, now)
        rows = pq.read_table(table)
        rows = rows.filter(pc.not_equal(rows["pair"], "4>74"))
        place = rows.schema.get_field_index("log_excess")
        pq.write_table(rows.set_column(place, "log_excess", pc.add(rows["log_excess"], pa.scalar(1.0))), table)
        return first, materialize(home, store, now)
    finally:
        table.write_bytes(kept)


def read(reader: OnlineStore) -> Floats:
    """The rows that are asked for."""

    async def once() -> Floats:
        try:
            return await reader.read(WANTED)
        finally:
            await reader.close()

    return asyncio.run(once())


def check(home: Path, first: dict[str, Any], second: dict[str, Any], rows: Floats) -> None:
    """Online is what the second set says, and nothing of the first is left."""
    assert second["rows"]["pair_stats"] == first["rows"]["pair_stats"] - 1
    gone, changed, city = rows
    assert all(map(math.isnan, gone))
    history = pd.read_parquet(Layout(home).features / "pair_stats.parquet").query("pair == '12>138'")
    before = history.loc[history["event_timestamp"] == pd.Timestamp(changed[0], unit="s", tz="UTC"), "log_excess"]
    assert [changed[EXCESS] - 1.0] == pytest.approx(before.tolist(), abs=1e-12)
    assert not math.isnan(city[1])


def test_a_valkey_is_filled_anew(home: Path, valkey: EmbeddedValkey) -> None:
    """Old rows go although their times are the same; keys of others in the same server stay."""
    others = [b"session:tandem", entity_key("zone", "4") + b"mytandem"]

    async def execute(*commands: bytes) -> list[Any]:
        pipe = RedisPipe(valkey.url)
        try:
            return await pipe.execute(b"".join(commands), len(commands))
        finally:
            pipe.close()

    asyncio.run(execute(*(command(b"SET", key, b"x") for key in others)))
    first, second = refill(home, open_store(home, redis_url=valkey.url))
    check(home, first, second, read(RedisOnlineStore(RedisPipe(valkey.url), VIEWS)))
    assert asyncio.run(execute(*(command(b"GET", key) for key in others))) == [b"x", b"x"]


def test_a_sqlite_is_filled_anew(home: Path) -> None:
    """The same on Feast's SQLite."""
    first, second = refill(home, open_store(home, redis_url=None))
    check(home, first, second, read(SqliteOnlineStore(home / "feast" / "online_store.db", VIEWS)))


def test_an_erased_store_is_refilled_beside_who_writes_to_it(home: Path, valkey: EmbeddedValkey) -> None:
    """The same rows as before, the caches told of all, what the stream wrote meanwhile untouched; one at a time."""
    reader = RedisOnlineStore(RedisPipe(valkey.url), VIEWS)
    whole = [("pair", "4>74"), ("pair", "4>*"), ("zone_hour", "*|035"), ("zone", "4")]

    async def now_there() -> Floats:
        try:
            return await reader.read(whole)
        finally:
            await reader.close()

    with redis.Redis.from_url(valkey.url) as client:
        materialize(home, open_store(home, redis_url=valkey.url), datetime.now(UTC))
        assert client.exists(FILLED)
        before = asyncio.run(now_there())
        client.flushall()
        live = RedisOnlineWriter(valkey.url, VIEWS)
        live.upsert([Upsert("zone_live", "4", round(time.time() * MICRO), (1.0,) * 9)], time.time())
        client.set("tandem:refill", 1)
        assert refilling.refill(home, valkey.url) == {"rows": {}, "why": "another process is filling it"}
        assert not live.filled()
        client.delete("tandem:refill")
        found = refilling.refill(home, valkey.url)
        assert found["rows"]["pair_stats"] > 10
        assert live.filled()
        after = asyncio.run(now_there())
        start = RowLayout(VIEWS).offsets["zone_live"]
        assert after[3, start + 1 : start + 10].tolist() == [1.0] * 9
        for old, new in zip(before[:3], after[:3], strict=True):
            np.testing.assert_array_equal(old, new)
        told = {
            tuple(key)
            for _, fields in client.xrange(FEATURES_INVALIDATED)
            for key in decode_event(fields[b"payload"], FeaturesInvalidated).keys
        }
        assert {("pair", "4>74"), ("pair", "4>*")} <= told
        assert sum(entity == "zone_hour" for entity, _ in told) == found["rows"]["zone_hour_stats"]
        assert not client.exists("tandem:refill")
        client.flushall()


def test_a_home_without_features_has_nothing_to_refill_from(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    """It says so."""
    assert "no features in" in refilling.refill(tmp_path, valkey.url)["why"]
