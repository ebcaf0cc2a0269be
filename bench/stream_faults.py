"""What is done to the stream of a running stack, and what came of it: each returns plain data."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from adapters.online_store import RedisOnlineStore
from adapters.online_writer import RedisOnlineWriter
from adapters.redis_pipe import RedisPipe
from adapters.redis_stream import RedisStream
from bench.eta_calls import EtaCalls
from bench.event_source import Entry, compared
from bench.live_stack import LiveStack, visible
from contracts.events import TRIPS_ENDED
from contracts.features import LIVE_VIEWS, VIEWS
from contracts.schema import Floats
from contracts.trips import CITY
from contracts.zones import pair_key

DRAIN_S = 120.0
GRID_S = 10.0
POISON_AT_ONCE = 50
STATISTICS = 200  # pairs that are compared after a refill


def steady(stack: LiveStack, *, rate: float, seconds: float) -> dict[str, Any]:
    """Events at a rate, and when the features of answered requests had them."""
    before = len(stack.source.ended_us)
    stream = RedisStream(stack.broker.at.socket_url)
    with _judged(stack) as result, _publishing(stream):
        result["events"] = stack.source.drive(rate, seconds, lambda some: stream.publish(TRIPS_ENDED, some))
        result["drained_s"] = stack.drained(DRAIN_S)
        time.sleep(2 * GRID_S)  # the last of them are in a row at the next grid time
    time.sleep(1.0)  # what the log holds in memory
    result["most_behind"] = max(lag for _, lag in result.pop("lags"))
    result["visible"] = visible(stack.source.ended_us[before:], before, *stack.seen())
    return result


def consumer_killed(stack: LiveStack, *, rate: float, seconds: float) -> dict[str, Any]:
    """SIGKILL of the consumer, twice, while events come; the supervisor starts it again."""
    stream, killed = RedisStream(stack.broker.at.socket_url), list[float]()

    def kill() -> None:
        os.kill(stack.consumer(), signal.SIGKILL)
        killed.append(time.monotonic())

    with _judged(stack) as result, _publishing(stream), _later({seconds / 3: kill, seconds * 2 / 3: kill}):
        result["events"] = stack.source.drive(rate, seconds, lambda some: stream.publish(TRIPS_ENDED, some))
        result["drained_s"] = stack.drained(DRAIN_S)
    result |= {"kills": len(killed), "catch_up_s": _behind_s(result.pop("lags"), killed[-1], rate)}
    return result


def broker_stopped(stack: LiveStack, *, rate: float, seconds: float, stopped_s: float) -> dict[str, Any]:
    """SIGSTOP of the broker, which is the online store as well; producers go on through the outbox."""
    resumed: list[float] = []

    def resume() -> None:
        stack.broker.resume()
        resumed.append(time.monotonic())

    faults = {seconds / 3: stack.broker.pause, seconds / 3 + stopped_s: resume}
    with _judged(stack) as result, _later(faults):
        result["events"] = stack.source.drive(rate, seconds, _put(stack))
        result["drained_s"] = stack.drained(DRAIN_S)
    result["catch_up_s"] = _behind_s(result.pop("lags"), resumed[-1], rate)
    return result


def broker_killed(stack: LiveStack, *, rate: float, seconds: float, gone_s: float) -> dict[str, Any]:
    """SIGKILL of the broker; it comes back with its append-only file, and what was put meanwhile comes in order."""
    back: list[float] = []
    first = len(stack.source.ended_us)

    def restart() -> None:
        stack.broker.start()
        back.append(time.monotonic())

    faults = {seconds / 3: stack.broker.kill, seconds / 3 + gone_s: restart}
    with _judged(stack) as result, _later(faults):
        result["events"] = stack.source.drive(rate, seconds, _put(stack))
        result["drained_s"] = stack.drained(DRAIN_S)
    result["catch_up_s"] = _behind_s(result.pop("lags"), back[-1], rate)
    ids = [msgspec.json.decode(payload)["trip_id"] for payload in stack.broker.payloads(TRIPS_ENDED)]
    own = [int(name.partition("-")[2]) for name in ids if name.startswith("bench-")]
    arrived = list(dict.fromkeys(number for number in own if number >= first))
    result["in_order"] = arrived == list(range(first, first + result["events"]))
    result["sent_again"] = sum(number >= first for number in own) - len(arrived)
    return result


def store_erased(stack: LiveStack) -> dict[str, Any]:
    """FLUSHALL once nothing waits; until the live rows are whole, and the statistics."""
    wanted = [("pair", pair_key(a, b)) for a in stack.zones.ids for b in stack.zones.ids[:20]][:STATISTICS]
    wanted.append(("city", CITY))
    before = _rows(stack, wanted)
    writer = RedisOnlineWriter(stack.broker.at.url, VIEWS)
    live_s = whole_s = None
    with _judged(stack) as result:
        result["events"] = 0
        stack.broker.erase()
        begun = time.monotonic()
        while time.monotonic() - begun < DRAIN_S and whole_s is None:
            if live_s is None and writer.stored_us(LIVE_VIEWS[0], CITY):
                live_s = time.monotonic() - begun
            if writer.filled():
                whole_s = time.monotonic() - begun
            time.sleep(0.05)
        time.sleep(GRID_S)
    writer.close()
    del result["lags"]
    after = _rows(stack, wanted)
    result |= {"live_rows_s": live_s, "whole_s": whole_s}
    result["statistics_differ"] = sum(
        not np.array_equal(old, new, equal_nan=True) for old, new in zip(before[:-1], after[:-1], strict=True)
    )
    return result


def poisoned(stack: LiveStack, *, poison: int, good: int, rate: float) -> dict[str, Any]:
    """Messages that can't be used, of twelve kinds, among good ones."""
    stream, kinds = RedisStream(stack.broker.at.socket_url), poison_kinds(stack.zones.ids)
    before, sent = stack.broker.dead_letters(TRIPS_ENDED), 0
    share = poison / good

    def put(some: list[Entry]) -> None:
        nonlocal sent
        wanted = min(poison, round(share * (len(stack.source.ended_us) - first)))
        bad = [("", kinds[i % len(kinds)]()) for i in range(sent, wanted)]
        sent = wanted
        mixed = [entry for pair in zip(bad, some, strict=False) for entry in pair]
        stream.publish(TRIPS_ENDED, mixed + some[len(bad) :] + bad[len(some) :])

    with _judged(stack) as result, _publishing(stream):
        first = len(stack.source.ended_us)
        result["events"] = stack.source.drive(rate, good / rate, put)
        stream.publish(TRIPS_ENDED, [("", kinds[i % len(kinds)]()) for i in range(sent, poison)])
        sent = poison
        result["drained_s"] = stack.drained(DRAIN_S)
    del result["lags"]
    letters = stack.broker.dead_letters(TRIPS_ENDED) - before
    return result | {"poison": sent, "kinds": len(kinds), "dead_letters": letters}


def poison_kinds(zones: tuple[str, ...]) -> list[Callable[[], bytes]]:
    """Twelve kinds of message that no consumer can use."""
    trip = {
        "schema_version": 1,
        "trip_id": "poison",
        "pickup_at": "2026-01-05T08:00:00Z",
        "dropoff_at": "2026-01-05T08:10:00Z",
        "pickup_zone": zones[0],
        "dropoff_zone": zones[0],
    }

    def changed(**fields: Any) -> bytes:
        return msgspec.json.encode(trip | fields)

    def future() -> bytes:
        begins, ends = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s)) for s in (3000, 3600))
        return changed(pickup_at=begins, dropoff_at=ends)

    return [
        lambda: b"",
        lambda: b"{",
        lambda: b"\xff\xfe\x00",
        lambda: b"null",
        lambda: b"[" * 1000,
        lambda: changed(schema_version=2),
        lambda: changed(trip_id=None),
        lambda: changed(fare=12.5),
        lambda: changed(pickup_zone="no such zone"),
        lambda: changed(dropoff_at="2026-01-05T08:00:01Z"),
        lambda: changed(pickup_at="2026-01-05T08:00:00"),
        future,
    ]


@contextmanager
def _judged(stack: LiveStack) -> Iterator[dict[str, Any]]:
    """Ask for ETAs and look at the lag meanwhile, and compare the cells in the end."""
    result: dict[str, Any] = {"lags": []}
    ended = threading.Event()
    sampler = threading.Thread(target=_sample, args=(stack, result["lags"], ended), daemon=True)
    sampler.start()
    with EtaCalls(stack.address, stack.zones.ids) as calls:
        try:
            yield result
        finally:
            ended.set()
            sampler.join()
    result |= compared(stack.source.cells, stack.cells()) | calls.summary()


def _sample(stack: LiveStack, lags: list[tuple[float, float]], ended: threading.Event) -> None:
    """What waits, in the outbox and in the topic, ten times a second; a broker that is away has all to come."""
    while not ended.wait(0.1):
        try:
            lag = float(stack.outbox.waiting() + stack.broker.lag(TRIPS_ENDED))
        except Exception:  # noqa: BLE001
            lag = np.inf
        lags.append((time.monotonic(), lag))


def _behind_s(lags: list[tuple[float, float]], since: float, rate: float) -> float:
    """Seconds from a moment to the last look at which more than a second's events waited."""
    late = [at for at, lag in lags if at > since and lag > rate]
    return round(max(late, default=since) - since, 1)


@contextmanager
def _publishing(stream: RedisStream) -> Iterator[None]:
    yield
    stream.close()


@contextmanager
def _later(faults: dict[float, Callable[[], Any]]) -> Iterator[None]:
    """Do things so many seconds from now, and fail where one of them did."""
    failures: list[BaseException] = []

    def guarded(fault: Callable[[], Any]) -> None:
        try:
            fault()
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            failures.append(error)

    timers = [threading.Timer(seconds, guarded, (fault,)) for seconds, fault in faults.items()]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.join()
    if failures:
        raise failures[0]


def _put(stack: LiveStack) -> Callable[[list[Entry]], None]:
    return lambda some: stack.outbox.put(TRIPS_ENDED, some)


def _rows(stack: LiveStack, wanted: list[tuple[str, str]]) -> Floats:
    async def read() -> Floats:
        store = RedisOnlineStore(RedisPipe(stack.broker.at.url), VIEWS)
        try:
            return await store.read(wanted)
        finally:
            await store.close()

    return asyncio.run(read())


def words(counts: dict[str, int]) -> str:
    """Who answered, in shares."""
    whole = sum(counts.values()) or 1
    return ", ".join(f"{name} {100 * n / whole:.1f} %" for name, n in Counter(counts).most_common())
