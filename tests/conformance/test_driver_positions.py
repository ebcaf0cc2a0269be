"""Drivers' positions: the fake and Valkey alike, then moves through the consumer and a SIGKILL's repetition."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from adapters.driver_position_writer import DriverPositionWriter, Move
from adapters.driver_positions import RedisDriverPositions
from adapters.redis_pipe import RedisPipe
from adapters.valkey import EmbeddedValkey
from contracts.driver_positions import DriverPosition
from contracts.errors import Unavailable
from contracts.events import DRIVERS_MOVED, DriverMoved, dead_letter_topic, encode_event
from pipelines.driver_moves import KEPT_S, DriverMoves
from tests.fakes import NOW, FakeClock
from tests.fakes_stream import FakeDriverPositions, FakeStream

MICRO = 1_000_000
MAX_AGE_S = 60.0


@pytest.fixture(autouse=True)
def _empty(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()


@pytest.fixture
def writer(valkey: EmbeddedValkey) -> DriverPositionWriter:
    """The real one."""
    return DriverPositionWriter(valkey.url)


def move(driver: str, ago_s: float, lat: float = 40.7, lon: float = -74.0, zone: str = "4") -> Move:
    """Where a driver was so long ago."""
    return Move(driver, round((NOW - ago_s) * MICRO), lat, lon, zone)


def read(valkey: EmbeddedValkey, zone: str | None = None, now: float = NOW) -> list[DriverPosition]:
    """What dispatch gets."""

    async def once() -> list[DriverPosition]:
        reader = RedisDriverPositions(RedisPipe(valkey.socket_url), max_age_s=MAX_AGE_S)
        try:
            return await reader.positions(zone, now)
        finally:
            await reader.close()

    return asyncio.run(once())


@pytest.fixture(params=["fake", "redis"])
def ask(request: Any, valkey: EmbeddedValkey, writer: DriverPositionWriter) -> Callable[..., list[DriverPosition]]:
    """Each of the two, given moves and asked for a zone."""

    def asked(moves: list[Move], zone: str | None = None, now: float = NOW) -> list[DriverPosition]:
        if request.param == "redis":
            writer.upsert(moves)
            return read(valkey, zone, now)
        fake = FakeDriverPositions(max_age_s=MAX_AGE_S)
        for one in moves:
            fake.put(*one)
        return asyncio.run(fake.positions(zone, now))

    return asked


def test_the_last_position_of_each_by_zone_and_of_all(ask: Callable[..., list[DriverPosition]]) -> None:
    """A driver is in the zone of the last move only; outside all zones, among all."""
    moves = [move("a", 9, zone="4"), move("b", 8, zone="4"), move("a", 5, 40.8, -73.9, "12"), move("c", 1, zone="")]
    assert [(p.driver, p.lat, p.lon, NOW - p.at) for p in ask(moves)] == [
        ("a", 40.8, -73.9, 5),
        ("b", 40.7, -74.0, 8),
        ("c", 40.7, -74.0, 1),
    ]
    assert [p.driver for p in ask(moves, "4")] == ["b"]
    assert [p.driver for p in ask(moves, "12")] == ["a"]
    assert ask(moves, "138") == []


def test_old_and_future_positions_are_not_offered(ask: Callable[..., list[DriverPosition]]) -> None:
    """At the limit it still is; a clock that ran ahead by more than a minute is nobody's."""
    moves = [move("old", MAX_AGE_S + 1), move("limit", MAX_AGE_S), move("ahead", -59), move("far", -61)]
    assert [p.driver for p in ask(moves)] == ["ahead", "limit"]
    assert [p.driver for p in ask(moves, now=NOW + 2)] == ["ahead", "far"]


def test_the_order_of_arrival_does_not_matter(ask: Callable[..., list[DriverPosition]]) -> None:
    """Shuffled and repeated moves, some of one driver and time: always the same positions, none in two zones."""
    draw, found = random.Random(1), []
    moves = [
        move(f"d{draw.randint(0, 9)}", draw.randint(0, 20), 40 + draw.random(), -74, draw.choice(["4", "12", ""]))
        for _ in range(200)
    ]
    for _ in range(3):
        draw.shuffle(moves)
        everyone = ask(moves)
        by_zone = [p for zone in ("4", "12", "") for p in ask(moves, zone)]
        assert sorted(by_zone) == everyone
        found.append(everyone)
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 10


def test_a_city_of_drivers_is_read_at_once(valkey: EmbeddedValkey, writer: DriverPositionWriter) -> None:
    """More than one call of a script can return at a time; and let go when they are gone."""
    moves = [move(f"d{i:05d}", 1, zone=str(i % 60)) for i in range(12_000)]
    assert writer.upsert(moves) == {"written": 12_000}
    assert len(read(valkey)) == 12_000
    assert len(read(valkey, "7")) == 200
    forgotten = Counter[str]()
    while some := writer.forget(round(NOW * MICRO)):
        forgotten["all"] += some
    assert forgotten["all"] == 12_000
    with redis.Redis.from_url(valkey.url) as client:
        assert client.dbsize() == 0


def event(driver: str, ago_s: float, lat: float = 40.724) -> bytes:
    """A move as it crosses the stream."""
    at = datetime.fromtimestamp(NOW - ago_s, UTC)
    return encode_event(DriverMoved(schema_version=1, driver_id=driver, at=at, lat=lat, lon=-73.977))


def consumer(valkey: EmbeddedValkey, stream: FakeStream, clock: FakeClock) -> DriverMoves:
    """As the stack has it; zone 4 is the south."""
    writer = DriverPositionWriter(valkey.url)
    moves = stream.subscribe(DRIVERS_MOVED, "features")
    return DriverMoves(moves, writer, lambda lat, _: "4" if lat < 40.75 else "12", clock)


def test_moves_become_positions(valkey: EmbeddedValkey) -> None:
    """The newest of a batch counts; poison and the future go to the dead letters, what is too old is counted."""
    stream = FakeStream()
    moves = consumer(valkey, stream, FakeClock(NOW))
    payloads = [event("a", 3), event("a", 9, 40.8), event("b", 2, 40.8), event("old", KEPT_S + 1), event("far", -61)]
    stream.publish(DRIVERS_MOVED, [("", payload) for payload in [*payloads, b"poison"]])
    assert moves.step(0.0) == 4
    assert [(p.driver, p.lat) for p in read(valkey)] == [("a", 40.724), ("b", 40.8)]
    assert [p.driver for p in read(valkey, "12")] == ["b"]
    reasons = b"".join(letter.payload for letter in stream.topics[dead_letter_topic(DRIVERS_MOVED)])
    assert b"at: is 61.0 s in the future, must be at most 60 s" in reasons
    assert (moves.counts["too_late"], moves.counts["dead_letters"], moves.counts["positions_overtaken"]) == (1, 2, 1)
    assert moves.ages.quantiles()["max"] == 9.0
    assert moves.lag() == 0


def test_a_batch_that_was_not_committed_is_done_again(valkey: EmbeddedValkey) -> None:
    """By the next consumer, after newer moves even: nothing goes back."""
    stream, clock = FakeStream(), FakeClock(NOW)
    stream.publish(DRIVERS_MOVED, [("", event("a", 9)), ("", event("b", 9))])
    first = consumer(valkey, stream, clock)
    subscription = first._inbox._messages
    first._inbox.poll(0.0)
    heir = consumer(valkey, stream, clock)
    stream.publish(DRIVERS_MOVED, [("", event("a", 1, 40.8))])
    assert heir.step(0.0) == 1
    stream.error = Unavailable("stream", "stream_unavailable")
    with pytest.raises(Unavailable):
        first.step(0.0)
    stream.error = None
    subscription.close()
    assert heir.step(0.0) == 2
    assert [(p.driver, p.lat) for p in read(valkey)] == [("a", 40.8), ("b", 40.724)]


def test_who_is_silent_is_let_go(valkey: EmbeddedValkey) -> None:
    """An hour after the last word, within a minute."""
    stream, clock = FakeStream(), FakeClock(NOW)
    moves = consumer(valkey, stream, clock)
    stream.publish(DRIVERS_MOVED, [("", event("a", 0))])
    moves.step(0.0)
    assert 0 < moves.due_s() <= 60
    clock.advance(KEPT_S + 61)
    assert moves.due_s() == 0
    moves.step(0.0)
    assert moves.counts["positions_forgotten"] == 1
    with redis.Redis.from_url(valkey.url) as client:
        assert client.keys("tandem:{drivers}*") == []
