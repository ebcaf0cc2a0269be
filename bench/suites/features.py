"""Feature reads: ours, cold and warm, beside `get_online_features`, on the same Valkey, the same keys, in turns."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import redis
import uvloop
from feast import FeatureStore

from adapters.artifact_store import ETA_FILE
from adapters.online_store import OnlineStore, RedisOnlineStore, RowLayout
from adapters.redis_pipe import RedisPipe
from adapters.sqlite_online_store import SqliteOnlineStore
from bench.acceptance import Line, at_least, at_most
from bench.feast_views import feature_store, on_sqlite
from bench.markdown import table
from bench.online import Online
from bench.rows.protocol import APPS
from bench.suite import Bench, Suite
from contracts.clock import SystemClock
from contracts.features import LOOKUPS, VIEWS
from contracts.schema import Floats
from contracts.transforms import trip_keys
from serving.cached_rows import CachedRows, CachePolicy
from serving.features import FeatureReader, LookedUp

SIZES = (1, 32)
MISSES = 1000
Keys = dict[str, list[str]]


def fresh_reader(store: OnlineStore) -> tuple[FeatureReader, CachedRows]:
    """The replica's own reader with an empty cache over a store."""
    rows = CachedRows(store, RowLayout(VIEWS).width, CachePolicy(deadline_s=5.0), SystemClock())
    return FeatureReader(rows, VIEWS, LOOKUPS, future_skew_s=60.0), rows


def run(bench: Bench) -> dict[str, Any]:
    """Measure on Valkey over TCP, as Feast reads it, over its unix socket, and on SQLite."""
    feast_trips = _feast_trips(bench.artifact)
    rounds = 20 if bench.quick else 200
    with bench.ground() as ground:
        views = {view.name for view in VIEWS}
        lite = feature_store(bench.scratch / "sqlite", on_sqlite((bench.scratch / "sqlite" / "online.db").resolve()))
        for name in sorted(views):
            ground.write(name, lite)
        stores = {
            "Valkey": (lambda: RedisOnlineStore(RedisPipe(ground.url), VIEWS), ground.store),
            "Valkey, unix socket": (lambda: RedisOnlineStore(RedisPipe(ground.socket_url), VIEWS), None),
            "SQLite": (lambda: SqliteOnlineStore(bench.scratch / "sqlite" / "online.db", VIEWS), lite),
        }
        rows = []
        for name, (make, feast) in stores.items():
            for size in SIZES:
                few = max(5, rounds // 10) if name == "SQLite" else rounds
                row = uvloop.run(_side_by_side(make, feast, feast_trips, ground, size, few))
                bench.say(f"features: {name}, {size} trips: {row}")
                rows.append({"store": name, "trips": size, "rounds": few, **row})
        flight = uvloop.run(_one_flight(ground))
        bench.say(f"features: {flight}")
    return {"rows": rows, "one_flight": flight}


async def _side_by_side(  # noqa: PLR0917 - what is compared, on what, how often
    make: Callable[[], OnlineStore], feast: FeatureStore | None, trips: Any, ground: Online, size: int, rounds: int
) -> dict[str, Any]:
    """Take turns: Feast, ours with an empty cache, ours with what it has just read; p50 in µs."""
    store, zones = make(), ground.zones.ids
    rng = np.random.default_rng(size)
    taken: dict[str, list[float]] = {"feast": [], "cold": [], "warm": []}
    largest = 0.0
    for turn in range(rounds + 5):
        pickup, dropoff = ([zones[i] for i in rng.integers(len(zones), size=size)] for _ in range(2))
        at = time.time() + rng.uniform(30, 600, size)
        keys = trip_keys(pickup, dropoff, at)
        reader, rows = fresh_reader(store)
        times = {}
        found_by_us, times["cold"] = await _timed(lambda r=reader, k=keys, a=at: r.read(k, a, time.time()))
        assert rows.reads == 1
        _, times["warm"] = await _timed(lambda r=reader, k=keys, a=at: r.read(k, a, time.time()))
        assert rows.reads == 1
        if feast is not None:
            entities = trips.entities(_Keys(keys, size))
            begin = time.perf_counter()
            found = feast.get_online_features(features=trips.FEATURES, entity_rows=entities, full_feature_names=True)
            answer = found.to_dict()
            times["feast"] = time.perf_counter() - begin
            ours = dict(zip(reader.names, found_by_us.values, strict=True))
            largest = max(largest, _difference(ours, trips.columns(answer)))
        if turn >= 5:  # the first ones connect, and fill caches of encoded keys
            for name, seconds in times.items():
                taken[name].append(seconds * 1e6)
    await store.close()
    p50 = {f"{name}_us": round(float(np.median(of)), 1) if of else None for name, of in taken.items()}
    p99 = {f"{name}_p99_us": round(float(np.percentile(of, 99)), 1) if of else None for name, of in taken.items()}
    return {**p50, **p99, "warm_us_a_trip": round(p50["warm_us"] / size, 2), "largest_difference": largest}


async def _timed(call: Callable[[], Awaitable[LookedUp]]) -> tuple[LookedUp, float]:
    begin = time.perf_counter()
    result = await call()
    return result, time.perf_counter() - begin


async def _one_flight(ground: Online) -> dict[str, Any]:
    """A thousand readers miss one key at once; what we counted and what Valkey counted."""
    store = RedisOnlineStore(RedisPipe(ground.url), VIEWS)
    _, rows = fresh_reader(store)
    await rows.read([("zone", ground.zones.ids[1])])  # connects
    server = redis.Redis.from_url(ground.url)
    before, reads = _hmgets(server), rows.reads
    wanted = [("zone", ground.zones.ids[0])]
    await asyncio.gather(*(rows.read(wanted) for _ in range(MISSES)))
    counts = {"misses": MISSES, "store_reads": rows.reads - reads, "valkey_hmgets": _hmgets(server) - before}
    await store.close()
    server.close()
    return counts


def _hmgets(server: redis.Redis) -> int:
    return int(server.info("commandstats").get("cmdstat_hmget", {}).get("calls", 0))


class _Keys:
    """The part of a request that Feast's entity rows are made from."""

    def __init__(self, keys: Any, rows: int) -> None:
        self.keys, self.rows = keys, rows


def _feast_trips(artifact: Path) -> Any:
    """The module that the Feast row's application uses, which finds its zones by the environment."""
    os.environ["BENCH_MODEL"] = str((artifact / ETA_FILE).resolve())
    sys.path.insert(0, str(APPS))
    return importlib.import_module("feast_trips")


def _difference(ours: dict[str, Floats], theirs: dict[str, Floats]) -> float:
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs)


def _row(result: dict[str, Any], store: str, trips: int) -> dict[str, Any]:
    (found,) = [row for row in result["rows"] if row["store"] == store and row["trips"] == trips]
    return dict(found)


def lines(result: dict[str, Any]) -> Sequence[Line]:
    """Judge 32 trips on Valkey over TCP, and the single flight."""
    row, flight = _row(result, "Valkey", 32), result["one_flight"]
    most = max(flight["store_reads"], flight["valkey_hmgets"])
    return [
        at_least("32 trips, cold: `get_online_features`' p50 over ours", row["feast_us"] / row["cold_us"], 10, " x", 1),
        at_most("32 trips, warm", row["warm_us_a_trip"], 20, " µs a trip", 1),
        at_most(f"Store reads of {flight['misses']} concurrent misses of one key", most, 1, "", 0),
    ]


def page(result: dict[str, Any]) -> str:
    """Tell p50s and ratios."""
    head = ["p50 µs", "trips", "`get_online_features`", "ours, cold", "ratio", "ours, warm", "warm, a trip"]
    rows = [
        [
            row["store"],
            row["trips"],
            row["feast_us"],
            row["cold_us"],
            row["feast_us"] / row["cold_us"] if row["feast_us"] else None,
            row["warm_us"],
            row["warm_us_a_trip"],
        ]
        for row in result["rows"]
    ]
    flight = result["one_flight"]
    return (
        f"{table(head, rows)}\n\nAll keys of the trips, one process, in turns, other keys every turn; cold has an "
        "empty cache and makes one round trip. Every read was compared with Feast's: largest difference "
        f"{max(row['largest_difference'] for row in result['rows']):g}. {flight['misses']:,} concurrent misses of one "
        f"key: {flight['store_reads']} read by our count, {flight['valkey_hmgets']} HMGET by Valkey's."
    )


SUITE = Suite("features", "Feature reads", run, lines, page)
