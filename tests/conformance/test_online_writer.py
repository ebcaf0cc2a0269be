"""What we write is what Feast writes, to the byte; and the newest wins whatever the order of arrival."""

from __future__ import annotations

import asyncio
import math
import random
import uuid
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.feast_encoding import PROJECT, entity_key
from adapters.online_store import RedisOnlineStore
from adapters.online_writer import MICRO, RedisOnlineWriter, Upsert, encode_double, encode_timestamp
from adapters.redis_pipe import RedisPipe
from adapters.valkey import EmbeddedValkey
from contracts.errors import SchemaMismatch, Unavailable
from tests.conformance.test_online_store import ROWS, WHEN, compare, feast_store
from tests.fakes import VIEWS

WHEN_US = round(WHEN.timestamp() * MICRO)
NOW = WHEN.timestamp()
LATER_US = WHEN_US + 3600 * MICRO
UPSERTS = [
    Upsert(view, key, WHEN_US - round(seconds * MICRO), tuple(values))
    for view, rows in ROWS.items()
    for key, seconds, values in rows
]


def hashes(valkey: EmbeddedValkey) -> dict[bytes, dict[bytes, bytes]]:
    """Every row of the project's, field by field."""
    with redis.Redis.from_url(valkey.url) as client:
        return {key: client.hgetall(key) for key in client.keys(f"*{PROJECT}")}


def empty(valkey: EmbeddedValkey) -> None:
    """Drop what an earlier test left."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()


def test_what_we_write_is_what_feast_writes(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    """The same hashes to the byte; Feast's SDK reads ours, and so does our reader."""
    empty(valkey)
    server = f"127.0.0.1:{valkey.port},password={valkey.password}"
    store = feast_store(tmp_path, {"type": "redis", "connection_string": server})
    theirs = hashes(valkey)
    empty(valkey)
    writer = RedisOnlineWriter(valkey.url, VIEWS)
    assert set(writer.upsert(UPSERTS, NOW)) == {"written"}
    assert hashes(valkey) == theirs
    compare(store, RedisOnlineStore(RedisPipe(valkey.socket_url), VIEWS))


def test_feasts_rows_and_ours_outdo_each_other_by_time_alone(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    """Over Feast's rows: older and the same are left, newer are written; Feast leaves ours where they are newer."""
    empty(valkey)
    server = f"127.0.0.1:{valkey.port},password={valkey.password}"
    feast_store(tmp_path, {"type": "redis", "connection_string": server})
    before = hashes(valkey)
    writer = RedisOnlineWriter(valkey.url, VIEWS)
    assert set(writer.upsert(UPSERTS, NOW)) == {"same"}
    older = [Upsert(u.view, u.key, u.event_us - 1, tuple(9.0 for _ in u.values), rank=7) for u in UPSERTS]
    assert set(writer.upsert(older, NOW)) == {"older"}
    assert hashes(valkey) == before
    newer = [Upsert(u.view, u.key, u.event_us + 1, tuple(9.0 for _ in u.values)) for u in UPSERTS]
    assert set(writer.upsert(newer, NOW)) == {"written"}
    ours = hashes(valkey)
    feast_store(tmp_path, {"type": "redis", "connection_string": server})
    assert hashes(valkey) == ours


def test_a_future_beyond_the_bound_is_refused_and_does_not_block(valkey: EmbeddedValkey) -> None:
    """Ours are refused; one that another planted is overwritten by what is true now."""
    empty(valkey)
    writer = RedisOnlineWriter(valkey.url, VIEWS, future_s=60.0)
    edge, beyond = WHEN_US + 60 * MICRO, WHEN_US + 60 * MICRO + 1
    rows = [Upsert("city_live", "a", edge, (1.0,)), Upsert("city_live", "b", beyond, (1.0,))]
    assert writer.upsert(rows, NOW) == ["written", "future"]
    assert writer.upsert([Upsert("city_live", "c", LATER_US, (1.0,))], NOW + 3600) == ["written"]
    assert writer.upsert([Upsert("city_live", "c", WHEN_US, (2.0,))], NOW) == ["written"]
    assert writer.outcomes == {"written": 3, "future": 1}
    (row,) = asyncio.run(RedisOnlineStore(RedisPipe(valkey.url), VIEWS).read([("city", "c")]))
    assert row[:2].tolist() == [NOW, 2.0]


def test_views_of_one_entity_do_not_touch_each_other(valkey: EmbeddedValkey) -> None:
    """They share a hash, and each has a time and a rank of its own."""
    empty(valkey)
    writer = RedisOnlineWriter(valkey.url, VIEWS)
    writer.upsert([Upsert("zone_live", "1", WHEN_US, (1.0, 2.0), rank=5)], NOW)
    assert writer.upsert([Upsert("zone_long", "1", WHEN_US - 5, (3.0,), rank=1)], NOW) == ["written"]
    assert writer.upsert([Upsert("zone_live", "1", WHEN_US, (9.0, 9.0), rank=4)], NOW) == ["older"]
    (row,) = asyncio.run(RedisOnlineStore(RedisPipe(valkey.url), VIEWS).read([("zone", "1")]))
    assert row.tolist() == [NOW, 1.0, 2.0, pytest.approx(NOW - 5e-6), 3.0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.0, 1.0, -1.0, 256.0, math.nan])),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_any_order_and_duplication_ends_alike(
    valkey: EmbeddedValkey, events: list[tuple[int, int, float]], shuffle: random.Random
) -> None:
    """Any order, repetition and cut into batches of the same rows leaves the same hash."""
    writer = RedisOnlineWriter(valkey.socket_url, VIEWS)
    ends = []
    for _ in range(2):
        key = uuid.uuid4().hex
        rows = [Upsert("zone_live", key, WHEN_US + time, (value, 1.0), rank) for time, rank, value in events]
        rows += shuffle.choices(rows, k=len(rows))
        shuffle.shuffle(rows)
        cut = shuffle.randint(0, len(rows))
        writer.upsert(rows[:cut], NOW)
        writer.upsert(rows[cut:], NOW)
        with redis.Redis.from_url(valkey.url) as client:
            ends.append(client.hgetall(entity_key("zone", key) + PROJECT.encode()))
    writer.close()
    best = max(events, key=lambda event: (event[0], event[1], encode_double(event[2])))
    assert ends[0][b"_ts:zone_live"] == encode_timestamp(WHEN_US + best[0])
    assert ends[0].get(b"_rank:zone_live", b"").endswith(b"%d" % best[1] if best[1] else b"")
    # A rank that no longer stands beside its time is nobody's.
    assert _in_force(ends[0]) == _in_force(ends[1])


def _in_force(row: dict[bytes, bytes]) -> dict[bytes, bytes]:
    at = row[b"_ts:zone_live"]
    held = row.get(b"_rank:zone_live", b"")
    seconds, micros = divmod(WHEN_US, MICRO)
    times = {encode_timestamp(WHEN_US + i): b"%d.%d " % (seconds, 1000 * (micros + i)) for i in range(4)}
    return row if held.startswith(times[at]) else {k: v for k, v in row.items() if k != b"_rank:zone_live"}


def test_a_server_that_forgot_the_script_gets_it_again(valkey: EmbeddedValkey) -> None:
    """A restart empties the server's scripts; the batch goes again and is whole."""
    empty(valkey)
    writer = RedisOnlineWriter(valkey.url, VIEWS)
    writer.upsert(UPSERTS, NOW)
    with redis.Redis.from_url(valkey.url) as client:
        client.script_flush()
    assert set(writer.upsert(UPSERTS, NOW)) == {"same"}


def test_rows_that_are_no_rows_are_refused() -> None:
    """The view, the number of values and a time that Feast takes for absent; a server that is gone."""
    writer = RedisOnlineWriter("redis://127.0.0.1:1/0", VIEWS)
    for row in (
        Upsert("zone_gone", "1", WHEN_US, (1.0,)),
        Upsert("city_live", "1", WHEN_US, (1.0, 2.0)),
        Upsert("city_live", "1", 0, (1.0,)),
    ):
        with pytest.raises(SchemaMismatch):
            writer.upsert([row], NOW)
    with pytest.raises(Unavailable):
        writer.upsert([Upsert("city_live", "1", WHEN_US, (1.0,))], NOW)


@given(st.integers(1, 4_102_444_800 * MICRO))
def test_times_are_feasts(event_us: int) -> None:
    """Every moment to the microsecond has the bytes of Feast's message."""
    from google.protobuf.timestamp_pb2 import Timestamp  # noqa: PLC0415

    seconds, micros = divmod(event_us, MICRO)
    assert encode_timestamp(event_us) == Timestamp(seconds=seconds, nanos=micros * 1000).SerializeToString()
