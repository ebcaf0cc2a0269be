"""The cache around the store: one flight a key, stale before nothing, and a breaker that recovers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters.online_store import Wanted
from contracts.errors import Unavailable
from contracts.schema import Floats
from serving.cached_rows import CachedRows, CachePolicy
from tests.fakes import NOW, WIDTH, FakeClock, FakeStore

pytestmark = pytest.mark.anyio

ZONE = ("zone", "1")
GONE = Unavailable("online store", "features_unavailable", "gone")


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the replica has."""
    return "asyncio"


def cached(store: FakeStore, clock: FakeClock, **policy: Any) -> CachedRows:
    """A cache around a store that has zone 1."""
    store.put("zone_live", "1", NOW - 5, 3.0, 4.0)
    return CachedRows(store, WIDTH, CachePolicy(**({"deadline_s": 5.0} | policy)), clock, uniform=lambda: 0.5)


async def test_a_thousand_concurrent_misses_make_one_read() -> None:
    """Everyone who misses the same key waits for the same flight."""
    store, clock = FakeStore(), FakeClock()
    rows = cached(store, clock)
    answers = await asyncio.gather(*(rows.read([ZONE]) for _ in range(1000)))
    assert store.reads == [[ZONE]]
    assert all(answer[0, 1:3].tolist() == [3.0, 4.0] for answer in answers)


async def test_a_hit_reads_nothing() -> None:
    """Within its time a row comes from the cache."""
    store, clock = FakeStore(), FakeClock()
    rows = cached(store, clock)
    await rows.read([ZONE])
    clock.advance(2)
    await rows.read([ZONE])
    assert len(store.reads) == 1


async def test_one_read_for_all_that_is_missing() -> None:
    """A request's missing keys, repeated or not, are one round trip; what is in flight is not asked again."""
    store, clock = FakeStore(), FakeClock()
    rows = cached(store, clock)
    first = asyncio.create_task(rows.read([ZONE]))
    await asyncio.sleep(0)
    await asyncio.gather(first, rows.read([ZONE, ("zone", "2"), ("zone", "2"), ("pair", "1>2")]))
    assert store.reads == [[ZONE], [("zone", "2"), ("pair", "1>2")]]


async def test_an_absent_row_is_cached_for_less_time() -> None:
    """What the store does not have is asked again sooner."""
    store, clock = FakeStore(), FakeClock()
    rows = cached(store, clock, ttl_s=10, absent_ttl_s=1)
    await rows.read([ZONE, ("zone", "9")])
    clock.advance(2)
    await rows.read([ZONE, ("zone", "9")])
    assert store.reads[1:] == [[("zone", "9")]]


async def test_an_entity_may_have_a_time_of_its_own() -> None:
    """Rows that only history changes are kept for longer."""
    store, clock = FakeStore(), FakeClock()
    store.put("pair_stats", "1>2", NOW - 5, 600.0)
    rows = cached(store, clock, ttl_s=1, entity_ttl_s={"pair": 60.0})
    await rows.read([ZONE, ("pair", "1>2")])
    clock.advance(30)
    await rows.read([ZONE, ("pair", "1>2")])
    assert store.reads[1:] == [[ZONE]]


async def test_a_stale_row_stands_in_within_bounds() -> None:
    """When the store is gone an expired row answers, until it is too old to."""
    store, clock = FakeStore(), FakeClock()
    rows = cached(store, clock, stale_s=60)
    await rows.read([ZONE])
    store.error = GONE
    clock.advance(30)
    assert (await rows.read([ZONE]))[0][1] == 3.0
    assert rows.stale_rows == 1
    clock.advance(31)
    with pytest.raises(Unavailable):
        await rows.read([ZONE])


async def test_an_answer_that_cannot_be_read_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the store raises, the reader hears that the rows are not there, and the breaker counts it."""
    store, clock = FakeStore(), FakeClock()
    rows = cached(store, clock)

    async def broken(_wanted: Wanted) -> Floats:
        raise IndexError("index out of range")

    monkeypatch.setattr(store, "read", broken)
    for _ in range(5):
        with pytest.raises(Unavailable, match="can't be read"):
            await rows.read([ZONE])
    assert rows.breaker.is_open()


async def test_a_row_just_read_is_good_where_none_may_be_stale() -> None:
    """A bound of zero forbids old rows, not those that the store has just given."""
    store, clock = FakeStore(), FakeClock()
    rows = cached(store, clock, stale_s=0.0, ttl_s=1e-9)
    assert (await rows.read([ZONE]))[0][1] == 3.0
    store.error = GONE
    clock.advance(1)
    with pytest.raises(Unavailable):
        await rows.read([ZONE])


async def test_a_store_that_hangs_costs_one_deadline() -> None:
    """No answer within the deadline is a timeout, and the next reader may start a new flight."""
    store, clock = FakeStore(hangs=True), FakeClock()
    rows = cached(store, clock, deadline_s=0.01)
    with pytest.raises(Unavailable) as caught:
        await rows.read([ZONE])
    assert caught.value.reason == "features_timeout"
    store.hangs = False
    assert (await rows.read([ZONE]))[0][1] == 3.0


async def test_the_breaker_stops_reads_and_lets_one_probe_out() -> None:
    """After five failures no read goes out until the pause is over; its success brings the store back."""
    store, clock = FakeStore(error=GONE), FakeClock()
    rows = cached(store, clock)
    for _ in range(8):
        with pytest.raises(Unavailable):
            await rows.read([ZONE])
    assert len(store.reads) == 5
    store.error = None
    clock.advance(0.3)
    assert (await rows.read([ZONE]))[0][1] == 3.0
    assert rows.breaker.allow(clock.monotonic())


async def test_an_invalidated_row_is_read_anew() -> None:
    """A write elsewhere expires the row here."""
    store, clock = FakeStore(), FakeClock()
    rows = cached(store, clock)
    await rows.read([ZONE])
    store.put("zone_live", "1", NOW, 7.0, 8.0)
    rows.invalidate([ZONE, ("zone", "unknown")])
    assert (await rows.read([ZONE]))[0][1] == 7.0


async def test_invalidated_rows_end_within_the_time_given() -> None:
    """Not all at once: each at a moment of its own, and never later than it would have ended anyway."""
    store, clock = FakeStore(), FakeClock()
    draws = iter([0.5, 0.5, 0.25, 0.75])  # two expiries, then two moments
    rows = CachedRows(store, WIDTH, CachePolicy(deadline_s=5.0), clock, uniform=lambda: next(draws, 0.5))
    keys = [("zone", "1"), ("zone", "2")]
    await rows.read(keys)
    rows.invalidate(keys, within_s=0.1)
    assert [end - NOW for end in rows.cache.get(keys, NOW)[1]] == pytest.approx([0.025, 0.075], abs=1e-6)
    clock.advance(0.05)
    await rows.read(keys)
    assert store.reads[1:] == [[("zone", "1")]]


async def test_a_write_that_overtakes_a_flight_is_not_lost() -> None:
    """A read that began before the write may bring the old row; it is not kept as though it were new."""
    clock, go = FakeClock(), asyncio.Event()

    class Slow(FakeStore):
        """Has read before it is let go."""

        async def read(self, wanted: Wanted) -> Floats:
            """The rows of the moment of asking."""
            found = await super().read(wanted)
            await go.wait()
            return found

    store = Slow()
    rows = cached(store, clock)
    first = asyncio.create_task(rows.read([ZONE]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.put("zone_live", "1", NOW, 7.0, 8.0)
    rows.invalidate([ZONE])
    go.set()
    assert (await first)[0][1] == 3.0
    assert (await rows.read([ZONE]))[0][1] == 7.0
    await rows.read([ZONE])
    assert len(store.reads) == 2


async def test_a_row_near_its_end_is_refreshed_in_the_background() -> None:
    """The reader gets the old row at once and the next one the new; under load the refresh is shed."""
    store, clock = FakeStore(), FakeClock()
    allowed = False
    policy = CachePolicy(ttl_s=1, deadline_s=5.0)
    rows = CachedRows(store, WIDTH, policy, clock, background=lambda: allowed, uniform=lambda: 0.999999)
    store.put("zone_live", "1", NOW, 3.0, 4.0)
    await rows.read([ZONE])
    clock.advance(1.0999)
    await rows.read([ZONE])
    await asyncio.sleep(0)
    assert len(store.reads) == 1
    allowed = True
    await rows.read([ZONE])
    await asyncio.sleep(0)
    assert len(store.reads) == 2


async def test_a_caller_that_leaves_does_not_take_the_flight_along() -> None:
    """A cancelled request leaves the read to the others that wait for it."""
    store, clock = FakeStore(), FakeClock()
    rows = cached(store, clock)
    first = asyncio.create_task(rows.read([ZONE]))
    await asyncio.sleep(0)
    second = asyncio.create_task(rows.read([ZONE]))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)[0][1] == 3.0
    assert len(store.reads) == 1
